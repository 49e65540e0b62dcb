// The rows that the two forms of the delta rule read, in float64.
#pragma once

#include <cmath>
#include <vector>

#include "kernels/kernels.h"
#include "kernels/reference/scalar_math.h"

namespace qnext::reference {

// x / sqrt(sum(x^2) + 1e-6) * scale
inline std::vector<double> L2Normalised(const float* x, int64_t n, double scale) {
  const double factor = scale / std::sqrt(SumOfSquares(x, n) + 1e-6);
  std::vector<double> out(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) out[static_cast<size_t>(i)] = x[i] * factor;
  return out;
}

struct DeltaRow {
  std::vector<double> q;  // [S] normalised, times 1/sqrt(S)
  std::vector<double> k;  // [S] normalised
  const float* v;         // [S]
  float* out;             // [S]
  double g, beta;
};

inline DeltaRow DeltaRowAt(const DeltaArgs& args, int64_t t, int64_t h) {
  const int64_t size = args.head_dim;
  const int64_t key_head = h * args.key_heads / args.value_heads;
  const float* q = args.qkv + t * args.channels();
  const float* k = q + args.key_heads * size;
  const float* v = k + args.key_heads * size;
  const int64_t th = t * args.value_heads + h;
  return {.q = L2Normalised(q + key_head * size, size, 1.0 / std::sqrt(static_cast<double>(size))),
          .k = L2Normalised(k + key_head * size, size, 1.0),
          .v = v + h * size,
          .out = args.out + th * size,
          .g = args.g[th],
          .beta = args.beta[th]};
}

}  // namespace qnext::reference
