#include "kernels/reference/reference.h"
#include "kernels/reference/scalar_math.h"

namespace qnext::reference {

void GatedRmsNorm(const GatedRmsNormArgs& args, Range tokens) {
  const int64_t size = args.head_dim;                       // S
  const int64_t ratio = args.value_heads / args.key_heads;  // r
  const int64_t group_width = (2 + 2 * ratio) * size;       // (q | k | v r | z r)
  const int64_t token_width = args.key_heads * group_width;
  for (int64_t t = tokens.begin; t < tokens.end; ++t) {
    for (int64_t h = 0; h < args.value_heads; ++h) {
      const int64_t group = h / ratio, in_group = h % ratio;
      const float* z = args.qkvz + t * token_width + group * group_width + (2 + ratio + in_group) * size;
      const float* o = args.o + (t * args.value_heads + h) * size;
      float* out = args.out + (t * args.value_heads + h) * size;
      const double inverse = InverseRms(o, size, args.eps);
      for (int64_t i = 0; i < size; ++i) {
        out[i] = static_cast<float>(o[i] * inverse * static_cast<double>(args.weight[i]) * Silu(z[i]));
      }
    }
  }
}

}  // namespace qnext::reference
