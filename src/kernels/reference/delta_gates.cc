#include "kernels/reference/reference.h"
#include "kernels/reference/scalar_math.h"

namespace qnext::reference {

void DeltaGates(const DeltaGatesArgs& args, Range tokens) {
  const int64_t ratio = args.value_heads / args.key_heads;
  for (int64_t t = tokens.begin; t < tokens.end; ++t) {
    for (int64_t h = 0; h < args.value_heads; ++h) {
      const float* group = args.ba + (t * args.key_heads + h / ratio) * 2 * ratio;  // (b r | a r)
      const double b = group[h % ratio];
      const double a = group[ratio + h % ratio];
      const double rate = std::exp(static_cast<double>(args.a_log[h]));
      args.g[t * args.value_heads + h] = static_cast<float>(-rate * Softplus(a + static_cast<double>(args.dt_bias[h])));
      args.beta[t * args.value_heads + h] = static_cast<float>(Sigmoid(b));
    }
  }
}

}  // namespace qnext::reference
