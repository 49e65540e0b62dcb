#include "kernels/reference/reference.h"
#include "kernels/reference/scalar_math.h"

namespace qnext::reference {

void QkNormRope(const QkNormRopeArgs& args, Range token_heads) {
  const int64_t half = args.rotary_dims / 2;
  for (int64_t item = token_heads.begin; item < token_heads.end; ++item) {
    const int64_t t = item / args.heads, h = item % args.heads;
    const float* x = args.x + t * args.token_stride + h * args.head_stride;
    float* out = args.out + item * args.head_dim;
    const double inverse = InverseRms(x, args.head_dim, args.eps);
    const auto normed = [&](int64_t i) { return x[i] * inverse * (1.0 + static_cast<double>(args.weight[i])); };
    for (int64_t i = 0; i < half; ++i) {
      const double cosine = args.cos[t * half + i], sine = args.sin[t * half + i];
      const double a = normed(i), b = normed(i + half);
      out[i] = static_cast<float>(a * cosine - b * sine);
      out[i + half] = static_cast<float>(b * cosine + a * sine);
    }
    for (int64_t i = args.rotary_dims; i < args.head_dim; ++i) out[i] = static_cast<float>(normed(i));
  }
}

}  // namespace qnext::reference
