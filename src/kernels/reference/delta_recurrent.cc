#include <algorithm>

#include "kernels/reference/delta_inputs.h"
#include "kernels/reference/reference.h"

namespace qnext::reference {
namespace {

// One token on column c of M: M <- exp(g) M; M <- M + k ⊗ (beta (v - Mᵀk)); o = Mᵀq. Float64 but for the storage of M.
void StepColumn(const DeltaRow& row, int64_t size, int64_t c, float* state) {
  const double decay = std::exp(row.g);
  double seen = 0;
  for (int64_t i = 0; i < size; ++i) seen += decay * state[i * size + c] * row.k[static_cast<size_t>(i)];
  const double update = row.beta * (row.v[c] - seen);
  double out = 0;
  for (int64_t i = 0; i < size; ++i) {
    const size_t at = static_cast<size_t>(i);
    const double next = decay * state[i * size + c] + row.k[at] * update;
    out += next * row.q[at];
    state[i * size + c] = static_cast<float>(next);
  }
  row.out[c] = static_cast<float>(out);
}

}  // namespace

void DeltaRecurrent(const DeltaArgs& args, Range head_columns) {
  const int64_t size = args.head_dim;
  const int64_t blocks = CeilDiv(size, kDeltaColumns);
  for (int64_t item = head_columns.begin; item < head_columns.end; ++item) {
    const int64_t h = item / blocks;
    const int64_t first = item % blocks * kDeltaColumns;
    const int64_t last = std::min(first + kDeltaColumns, size);
    for (int64_t t = 0; t < args.tokens; ++t) {
      const DeltaRow row = DeltaRowAt(args, t, h);
      for (int64_t c = first; c < last; ++c) StepColumn(row, size, c, args.state + h * size * size);
    }
  }
}

}  // namespace qnext::reference
