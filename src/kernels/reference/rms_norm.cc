#include "kernels/reference/reference.h"
#include "kernels/reference/scalar_math.h"

namespace qnext::reference {

void RmsNorm(const RmsNormArgs& args, Range rows) {
  for (int64_t r = rows.begin; r < rows.end; ++r) {
    const float* x = args.x + r * args.dim;
    float* out = args.out + r * args.dim;
    const double inverse = InverseRms(x, args.dim, args.eps);
    for (int64_t i = 0; i < args.dim; ++i) {
      out[i] = static_cast<float>(x[i] * inverse * (1.0 + static_cast<double>(args.weight[i])));
    }
  }
}

}  // namespace qnext::reference
