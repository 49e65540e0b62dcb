// The scalar functions of the formulas, in float64.
#pragma once

#include <cmath>
#include <cstdint>

namespace qnext::reference {

inline double Sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }
inline double Silu(double x) { return x * Sigmoid(x); }
// ln(1 + e^x) without overflow and without loss for very negative x.
inline double Softplus(double x) { return (x > 0 ? x : 0) + std::log1p(std::exp(-std::abs(x))); }

inline double SumOfSquares(const float* x, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return sum;
}

// 1 / sqrt(mean(x^2) + eps)
inline double InverseRms(const float* x, int64_t n, float eps) {
  return 1.0 / std::sqrt(SumOfSquares(x, n) / static_cast<double>(n) + static_cast<double>(eps));
}

}  // namespace qnext::reference
