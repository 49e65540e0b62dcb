#include "kernels/reference/reference.h"
#include "kernels/reference/scalar_math.h"

namespace qnext::reference {

void CombineExperts(const CombineExpertsArgs& args, Range tokens) {
  for (int64_t t = tokens.begin; t < tokens.end; ++t) {
    for (int64_t i = 0; i < args.dim; ++i) {
      double sum = args.residual[t * args.dim + i];
      for (int64_t j = 0; j < args.top; ++j) {
        const int64_t row = args.slots[t * args.top + j];
        sum += static_cast<double>(args.weights[t * args.top + j]) * static_cast<double>(args.rows[row * args.dim + i]);
      }
      if (args.shared != nullptr) {
        sum += Sigmoid(args.shared_gate[t]) * static_cast<double>(args.shared[t * args.dim + i]);
      }
      args.out[t * args.dim + i] = static_cast<float>(sum);
    }
  }
}

}  // namespace qnext::reference
