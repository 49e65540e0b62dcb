// Weights stored as F32, F16 or BF16 times float32 activations, one copy per ISA; included after a vec_*-inl.h.
//
// Each (output row, activation row) has one vector sum that runs along the inputs, kLanes at a time, and is added up at
// the end: the same order for every tile shape, so results do not depend on the batch.
#include "kernels/cpu/isa_ops.h"

namespace qnext::QNEXT_ISA {
namespace {

constexpr int64_t kDensePrefetchBytes = 8192;

// R output rows times M activation rows. `prefetch` where the weights come from memory.
template <DenseType kType, int R, int M>
void DenseTile(const DenseJob& job, int64_t row0, int64_t m0, bool prefetch) {
  constexpr int64_t kBytes = kType == DenseType::kF32 ? 4 : 2;
  const int64_t row_bytes = job.in * kBytes;
  const char* weight = static_cast<const char*>(job.weight) + row0 * row_bytes;
  const float* x = job.x + m0 * job.x_stride;
  // While R rows are read side by side, the next R rows, one stretch of memory, are fetched in order: memory and its
  // prefetchers serve one stream better than R.
  const char* ahead = weight + (R * row_bytes < kDensePrefetchBytes ? kDensePrefetchBytes : R * row_bytes);

  Lanes sums[R][M];
  for (int r = 0; r < R; ++r) {
    for (int i = 0; i < M; ++i) sums[r][i] = ZeroLanes();
  }
  int64_t k = 0;
  for (; k + kLanes <= job.in; k += kLanes) {
    if (prefetch) {
      for (int64_t line = 0; line < R * kLanes * kBytes; line += 64) Prefetch(ahead + line);
      ahead += R * kLanes * kBytes;
    }
    Lanes w[R];
    for (int r = 0; r < R; ++r) w[r] = LoadWeights<kType>(weight + r * row_bytes + k * kBytes);
    for (int i = 0; i < M; ++i) {
      const Lanes xi = InRegister(LoadLanes(x + i * job.x_stride + k));
      for (int r = 0; r < R; ++r) sums[r][i] = MulAddLanes(w[r], xi, sums[r][i]);
    }
  }
  if (const int64_t rest = job.in - k; rest > 0) {
    Lanes w[R];
    for (int r = 0; r < R; ++r) w[r] = LoadSomeWeights<kType>(weight + r * row_bytes + k * kBytes, rest);
    for (int i = 0; i < M; ++i) {
      const Lanes xi = LoadSomeLanes(x + i * job.x_stride + k, rest);
      for (int r = 0; r < R; ++r) sums[r][i] = MulAddLanes(w[r], xi, sums[r][i]);
    }
  }
  for (int i = 0; i < M; ++i) {
    float* y = job.y + (m0 + i) * job.y_stride + row0;
    for (int r = 0; r < R; ++r) y[r] = SumLanes(sums[r][i]);
  }
}

// Output rows [row, row_end) in tiles of R, then of 1.
template <DenseType kType, int R, int M>
void DenseRows(const DenseJob& job, int64_t row, int64_t row_end, int64_t m0, bool prefetch) {
  for (; row + R <= row_end; row += R) DenseTile<kType, R, M>(job, row, m0, prefetch);
  for (; row < row_end; ++row) DenseTile<kType, 1, M>(job, row, m0, prefetch);
}

template <DenseType kType, int M>
void DenseUpTo(const DenseJob& job, int64_t row, int64_t row_end, int64_t m0, int64_t rows, bool prefetch) {
  if constexpr (M > 1) {
    if (rows < M) return DenseUpTo<kType, M - 1>(job, row, row_end, m0, rows, prefetch);
  }
  DenseRows<kType, DenseTileRows(M), M>(job, row, row_end, m0, prefetch);
}

template <DenseType kType>
void DenseItems(const DenseJob& job, int64_t begin, int64_t end) {
  // Some activation rows at a time, so that they stay in the second cache while the weights pass.
  constexpr int64_t kPassRows = 48;
  for (int64_t pass = 0; pass < job.m; pass += kPassRows) {
    const int64_t pass_rows = job.m - pass < kPassRows ? job.m - pass : kPassRows;
    const int64_t parts = (pass_rows + kDenseMaxRows - 1) / kDenseMaxRows;
    const int64_t part_rows = (pass_rows + parts - 1) / parts;  // even parts: 7 rows are 4 + 3, not 6 + 1
    for (int64_t item = begin; item < end; ++item) {
      const int64_t row = item * kDenseJobRows;
      const int64_t row_end = row + kDenseJobRows < job.out ? row + kDenseJobRows : job.out;
      for (int64_t i = 0; i < pass_rows; i += part_rows) {
        const int64_t rows = pass_rows - i < part_rows ? pass_rows - i : part_rows;
        DenseUpTo<kType, kDenseMaxRows>(job, row, row_end, pass + i, rows, /*prefetch=*/i == 0);
      }
    }
  }
}

}  // namespace

void DenseMatmul(const DenseJob& job, int64_t begin, int64_t end) {
  switch (job.type) {
    case DenseType::kF32:
      return DenseItems<DenseType::kF32>(job, begin, end);
    case DenseType::kF16:
      return DenseItems<DenseType::kF16>(job, begin, end);
    case DenseType::kBF16:
      return DenseItems<DenseType::kBF16>(job, begin, end);
  }
}

}  // namespace qnext::QNEXT_ISA
