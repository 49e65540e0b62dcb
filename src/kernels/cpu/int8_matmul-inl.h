// int8 weights times int8 activations, one copy per ISA; included after a vec_*-inl.h.
//
// Exact integer dot products over runs of 32 inputs; one multiply-add with the activation scale per run, in input
// order; one multiply-add with the weight scales per group. Every ISA and every number of rows does the same float
// operations in the same order, so results are equal bit for bit. Where the instruction wants unsigned weights they are
// taken as code + 128, and sums start from -128 * sum(activation codes).
#include "kernels/cpu/isa_ops.h"

namespace qnext::QNEXT_ISA {
namespace {

// One tile of 16 output rows times M activation rows from row0.
template <int M>
void Int8TileRows(const Int8Job& job, int64_t tile, int64_t row0) {
  const int64_t groups = (job.runs + kInt8JobGroupRuns - 1) / kInt8JobGroupRuns;
  const int8_t* codes = job.weight + tile * job.runs * 512;
  const float* scales = job.weight_scales + tile * groups * 16;
  const int64_t x_stride = job.runs * 32;
  const int8_t* x = job.codes + row0 * x_stride;
  const float* x_scales = job.scales + row0 * job.runs;
  const int32_t* x_sums = job.sums + row0 * job.runs;

  Rows y[M];
  for (int i = 0; i < M; ++i) y[i] = ZeroRows();
  int64_t run = 0;
  for (int64_t group = 0; group < groups; ++group, scales += 16) {
    const int64_t group_end = run + kInt8JobGroupRuns < job.runs ? run + kInt8JobGroupRuns : job.runs;
    Rows group_sum[M];
    for (int i = 0; i < M; ++i) group_sum[i] = ZeroRows();
    for (; run < group_end; ++run, codes += 512, x += 32) {
      Dots dots[M];
      for (int i = 0; i < M; ++i) dots[i] = StartSignedDots(x_sums + i * job.runs + run);
      for (int block = 0; block < 8; ++block) {
        Prefetch(codes + block * 64 + kI8PrefetchBytes);
        const SignedCodes four = LoadSignedCodes(codes + block * 64);
        for (int i = 0; i < M; ++i) dots[i] = AddSignedDots(dots[i], four, LoadInputs(x + i * x_stride + block * 4));
      }
      for (int i = 0; i < M; ++i) {
        group_sum[i] = MulAdd(FinishSignedDots(dots[i]), SplatRows(x_scales + i * job.runs + run), group_sum[i]);
      }
    }
    const Rows scale = LoadFloatScales(scales);
    for (int i = 0; i < M; ++i) y[i] = MulAdd(group_sum[i], scale, y[i]);
  }
  const int64_t rows_left = job.out - tile * 16;
  for (int i = 0; i < M; ++i) StoreRows(y[i], job.y + (row0 + i) * job.y_stride + tile * 16, rows_left);
}

template <int M>
void Int8TileUpTo(const Int8Job& job, int64_t tile, int64_t row0, int64_t rows) {
  if constexpr (M > 1) {
    if (rows < M) return Int8TileUpTo<M - 1>(job, tile, row0, rows);
  }
  Int8TileRows<M>(job, tile, row0);
}

}  // namespace

void Int8Matmul(const Int8Job& job, int64_t begin, int64_t end) {
  for (int64_t tile = begin; tile < end; ++tile) {
    for (int64_t row0 = 0; row0 < job.m; row0 += kI8MaxRows) {
      Int8TileUpTo<kI8MaxRows>(job, tile, row0, job.m - row0);
    }
  }
}

}  // namespace qnext::QNEXT_ISA
