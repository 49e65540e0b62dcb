// int4 weights times int8 activations, one copy per ISA; included after a vec_*-inl.h.
//
// Exact integer dot products over runs of 32 inputs, started from -zero * sum(codes); one multiply-add with the
// activation scale per run, in input order; one multiply-add with the weight scales per group. Every ISA and every
// number of rows does the same float operations in the same order, so results are equal bit for bit.
#include "kernels/cpu/isa_ops.h"

namespace qnext::QNEXT_ISA {
namespace {

// One tile of 16 output rows times M activation rows from row0.
// Where prefetches go: so far ahead of the codes, and past the last of them to what is read next.
struct I8Ahead {
  const uint8_t* end;
  const uint8_t* next;

  const uint8_t* Of(const uint8_t* codes) const {
    const uint8_t* ahead = codes + kI8PrefetchBytes;
    return ahead < end ? ahead : next + (ahead - end);
  }
};

template <int M>
void I8TileRows(const Int4I8Job& job, const I8Ahead& ahead, int64_t tile, int64_t row0) {
  const Int4Weight& w = job.weight;
  const uint8_t* codes = w.codes + tile * w.runs * 256;
  const uint16_t* scales = w.scales + tile * w.groups * 16;
  const uint8_t* zeros = w.zeros == nullptr ? nullptr : w.zeros + tile * w.groups * 16;
  const int64_t x_stride = w.runs * 32;
  const int8_t* x = job.codes + row0 * x_stride;
  const float* x_scales = job.scales + row0 * w.runs;
  const int32_t* x_sums = job.sums + row0 * w.runs;

  Rows y[M];
  for (int i = 0; i < M; ++i) y[i] = ZeroRows();
  Zeros zero = EightZeros();
  int64_t run = 0;
  for (int64_t group = 0; group < w.groups; ++group, scales += 16) {
    const int64_t group_end = run + w.runs_per_group < w.runs ? run + w.runs_per_group : w.runs;
    if (zeros != nullptr) zero = LoadZeros(zeros + group * 16);
    Rows group_sum[M];
    for (int i = 0; i < M; ++i) group_sum[i] = ZeroRows();
    for (; run < group_end; ++run, codes += 256, x += 32) {
      Dots dots[M];
      for (int i = 0; i < M; ++i) dots[i] = StartDots(zero, x_sums + i * w.runs + run);
      const uint8_t* soon = ahead.Of(codes);
      for (int block = 0; block < 4; ++block) {
        Prefetch(soon + block * 64);
        const Codes pairs = LoadCodes(codes + block * 64);
        const Codes low = LowCodes(pairs);
        for (int i = 0; i < M; ++i) dots[i] = AddDots(dots[i], low, LoadInputs(x + i * x_stride + block * 8));
        const Codes high = HighCodes(pairs);
        for (int i = 0; i < M; ++i) dots[i] = AddDots(dots[i], high, LoadInputs(x + i * x_stride + block * 8 + 4));
      }
      for (int i = 0; i < M; ++i) {
        const Rows dot = FinishDots(dots[i], zero, x_sums + i * w.runs + run);
        group_sum[i] = MulAdd(dot, SplatRows(x_scales + i * w.runs + run), group_sum[i]);
      }
    }
    const Rows scale = LoadScales(scales, w.bf16_scales);
    for (int i = 0; i < M; ++i) y[i] = MulAdd(group_sum[i], scale, y[i]);
  }
  const int64_t rows_left = w.out - tile * 16;
  for (int i = 0; i < M; ++i) StoreRows(y[i], job.y + (row0 + i) * job.y_stride + tile * 16, rows_left);
}

template <int M>
void I8TileUpTo(const Int4I8Job& job, const I8Ahead& ahead, int64_t tile, int64_t row0, int64_t rows) {
  if constexpr (M > 1) {
    if (rows < M) return I8TileUpTo<M - 1>(job, ahead, tile, row0, rows);
  }
  I8TileRows<M>(job, ahead, tile, row0);
}

}  // namespace

void Int4MatmulI8(const Int4I8Job& job, int64_t begin, int64_t end) {
  const Int4Weight& w = job.weight;
  // Nothing known to come: what has been read, which costs nothing.
  const I8Ahead ahead = {
      .end = w.codes + end * w.runs * 256,
      .next = job.next != nullptr ? static_cast<const uint8_t*>(job.next) : w.codes + begin * w.runs * 256};
  for (int64_t tile = begin; tile < end; ++tile) {
    if constexpr (kI8PrefetchBytes > 0) {
      const char* scales = reinterpret_cast<const char*>(w.scales + (tile + 1) * w.groups * 16);
      for (int64_t line = 0; tile + 1 < end && line < w.groups * 32; line += 64) Prefetch(scales + line);
    }
    for (int64_t row0 = 0; row0 < job.m; row0 += kI8MaxRows) {
      I8TileUpTo<kI8MaxRows>(job, ahead, tile, row0, job.m - row0);
    }
  }
}

}  // namespace qnext::QNEXT_ISA
