#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "kernels/reference/reference.h"

namespace qnext::reference {

void Router(const RouterArgs& args, Range tokens) {
  const size_t num_experts = static_cast<size_t>(args.num_experts);
  for (int64_t t = tokens.begin; t < tokens.end; ++t) {
    const float* logits = args.logits + t * args.num_experts;
    int32_t* experts = args.experts + t * args.top;
    float* weights = args.weights + t * args.top;

    const double maximum = *std::max_element(logits, logits + num_experts);
    std::vector<double> p(num_experts);
    for (size_t e = 0; e < num_experts; ++e) p[e] = std::exp(static_cast<double>(logits[e]) - maximum);
    const double sum = std::accumulate(p.begin(), p.end(), 0.0);
    for (double& value : p) value /= sum;

    if (!args.forced) {
      std::vector<int32_t> order(num_experts);
      std::iota(order.begin(), order.end(), 0);
      std::stable_sort(order.begin(), order.end(),
                       [&](int32_t a, int32_t b) { return p[static_cast<size_t>(a)] > p[static_cast<size_t>(b)]; });
      std::copy_n(order.begin(), args.top, experts);
    }
    double chosen = 0;
    for (int64_t j = 0; j < args.top; ++j) chosen += p[static_cast<size_t>(experts[j])];
    for (int64_t j = 0; j < args.top; ++j) {
      weights[j] = static_cast<float>(p[static_cast<size_t>(experts[j])] / (args.normalize ? chosen : 1.0));
    }
  }
}

}  // namespace qnext::reference
