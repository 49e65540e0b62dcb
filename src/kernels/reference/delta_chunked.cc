#include <algorithm>

#include "kernels/reference/delta_inputs.h"
#include "kernels/reference/reference.h"

namespace qnext::reference {
namespace {

double Dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

// Tokens t0 .. t0+rows.size()-1 of one head. Letters as in docs/numerics.md.
void Chunk(const std::vector<DeltaRow>& rows, int64_t size, float* state) {
  const size_t n = rows.size();
  const size_t dims = static_cast<size_t>(size);
  std::vector<double> sums(n);  // G, inclusive
  for (size_t i = 0; i < n; ++i) sums[i] = (i > 0 ? sums[i - 1] : 0.0) + rows[i].g;
  // D_ij for j <= i, masked before exp: exp(-G_j) is never formed.
  const auto decay = [&](size_t i, size_t j) { return std::exp(sums[i] - sums[j]); };

  // Solve (I + strictly_lower(beta_i D_ij k_i·k_j)) U = beta ⊙ (V - exp(G) ⊙ K M) from the top.
  std::vector<double> u(n * dims);
  for (size_t i = 0; i < n; ++i) {
    std::vector<double> coupling(i);
    for (size_t j = 0; j < i; ++j) coupling[j] = rows[i].beta * decay(i, j) * Dot(rows[i].k, rows[j].k);
    for (size_t c = 0; c < dims; ++c) {
      double seen = 0;
      for (size_t d = 0; d < dims; ++d) seen += rows[i].k[d] * state[d * dims + c];
      double value = rows[i].beta * (rows[i].v[c] - std::exp(sums[i]) * seen);
      for (size_t j = 0; j < i; ++j) value -= coupling[j] * u[j * dims + c];
      u[i * dims + c] = value;
    }
  }

  // O = exp(G) ⊙ Q M + (D ⊙ Q Kᵀ) U
  for (size_t i = 0; i < n; ++i) {
    std::vector<double> score(i + 1);
    for (size_t j = 0; j <= i; ++j) score[j] = decay(i, j) * Dot(rows[i].q, rows[j].k);
    for (size_t c = 0; c < dims; ++c) {
      double value = 0;
      for (size_t d = 0; d < dims; ++d) value += rows[i].q[d] * state[d * dims + c];
      value *= std::exp(sums[i]);
      for (size_t j = 0; j <= i; ++j) value += score[j] * u[j * dims + c];
      rows[i].out[c] = static_cast<float>(value);
    }
  }

  // M <- exp(G_last) M + (exp(G_last - G) ⊙ K)ᵀ U
  for (size_t d = 0; d < dims; ++d) {
    for (size_t c = 0; c < dims; ++c) {
      double value = std::exp(sums[n - 1]) * state[d * dims + c];
      for (size_t j = 0; j < n; ++j) value += decay(n - 1, j) * rows[j].k[d] * u[j * dims + c];
      state[d * dims + c] = static_cast<float>(value);
    }
  }
}

}  // namespace

void DeltaChunked(const DeltaArgs& args, Range heads) {
  for (int64_t h = heads.begin; h < heads.end; ++h) {
    for (int64_t t0 = 0; t0 < args.tokens; t0 += kDeltaChunk) {
      std::vector<DeltaRow> rows;
      for (int64_t t = t0; t < std::min(t0 + kDeltaChunk, args.tokens); ++t) rows.push_back(DeltaRowAt(args, t, h));
      Chunk(rows, args.head_dim, args.state + h * args.head_dim * args.head_dim);
    }
  }
}

}  // namespace qnext::reference
