// int4 weights times float32 activations, one copy per ISA; included after a vec_*-inl.h.
//
// Within a group: sums of x * (code - zero), exact factors, one multiply-add per input in input order. Per group: one
// multiply-add with the scales. The order does not depend on M or T, so results do not depend on the batch.
#include "kernels/cpu/isa_ops.h"

namespace qnext::QNEXT_ISA {
namespace {

// T neighbouring tiles times M activation rows from row0. Several tiles give a single row enough independent sums to
// hide the latency of a multiply-add.
template <int M, int T, bool kHasZeros>
void F32Tiles(const Int4F32Job& job, int64_t tile0, int64_t row0) {
  const Int4Weight& w = job.weight;
  const int64_t tile_bytes = w.runs * 256;
  const uint8_t* codes = w.codes + tile0 * tile_bytes;
  // While T tiles are read side by side, the next T, one stretch of memory, are fetched in order.
  [[maybe_unused]] const uint8_t* ahead =
      codes + (T * tile_bytes < kF32PrefetchBytes ? kF32PrefetchBytes : T * tile_bytes);
  const float* x = job.x + row0 * job.x_stride;

  Rows y[T][M];
  for (int t = 0; t < T; ++t) {
    for (int i = 0; i < M; ++i) y[t][i] = ZeroRows();
  }
  int64_t run = 0;
  for (int64_t group = 0; group < w.groups; ++group) {
    const int64_t group_end = run + w.runs_per_group < w.runs ? run + w.runs_per_group : w.runs;
    Rows zero[T];
    for (int t = 0; t < T; ++t) {
      zero[t] = kHasZeros ? LoadFloatZeros(w.zeros + ((tile0 + t) * w.groups + group) * 16) : ZeroRows();
    }
    Rows group_sum[T][M];
    for (int t = 0; t < T; ++t) {
      for (int i = 0; i < M; ++i) group_sum[t][i] = ZeroRows();
    }
    const int64_t blocks = (group_end - run) * 4;
    for (int64_t block = 0; block < blocks; ++block, codes += 64, x += 8) {
      Codes pairs[T];
      for (int t = 0; t < T; ++t) {
        if constexpr (T == 1) {
          Prefetch(codes + kF32PrefetchBytes);
        } else {
          Prefetch(ahead);
          ahead += 64;
        }
        pairs[t] = LoadCodes(codes + t * tile_bytes);
      }
      const auto add_input = [&]<int kInput>() {
        for (int t = 0; t < T; ++t) {
          const Rows weight = CodeFloats<kInput, kHasZeros>(pairs[t], zero[t]);
          for (int i = 0; i < M; ++i) {
            group_sum[t][i] = MulAddInput(weight, SplatRows(x + i * job.x_stride + kInput), group_sum[t][i]);
          }
        }
      };
      add_input.template operator()<0>();
      add_input.template operator()<1>();
      add_input.template operator()<2>();
      add_input.template operator()<3>();
      add_input.template operator()<4>();
      add_input.template operator()<5>();
      add_input.template operator()<6>();
      add_input.template operator()<7>();
    }
    run = group_end;
    for (int t = 0; t < T; ++t) {
      const Rows scale = LoadScales(w.scales + ((tile0 + t) * w.groups + group) * 16, w.bf16_scales);
      for (int i = 0; i < M; ++i) y[t][i] = MulAdd(group_sum[t][i], scale, y[t][i]);
    }
  }
  for (int t = 0; t < T; ++t) {
    const int64_t first = (tile0 + t) * 16;
    for (int i = 0; i < M; ++i) StoreRows(y[t][i], job.y + (row0 + i) * job.y_stride + first, w.out - first);
  }
}

template <int M, int T>
void F32TilesOfEitherKind(const Int4F32Job& job, int64_t tile0, int64_t row0) {
  if (job.weight.zeros != nullptr) {
    F32Tiles<M, T, true>(job, tile0, row0);
  } else {
    F32Tiles<M, T, false>(job, tile0, row0);
  }
}

// Up to M activation rows from row0.
template <int M>
void F32UpTo(const Int4F32Job& job, int64_t tile, int64_t tile_end, int64_t row0, int64_t rows) {
  if constexpr (M > 1) {
    if (rows < M) return F32UpTo<M - 1>(job, tile, tile_end, row0, rows);
  }
  constexpr int T = F32JointTiles(M);
  for (; tile + T <= tile_end; tile += T) F32TilesOfEitherKind<M, T>(job, tile, row0);
  for (; tile < tile_end; ++tile) F32TilesOfEitherKind<M, 1>(job, tile, row0);
}

}  // namespace

void Int4MatmulF32(const Int4F32Job& job, int64_t begin, int64_t end) {
  for (int64_t tile = begin; tile < end; tile += 4) {
    const int64_t tile_end = tile + 4 < end ? tile + 4 : end;
    for (int64_t row0 = 0; row0 < job.m; row0 += kF32MaxRows) {
      F32UpTo<kF32MaxRows>(job, tile, tile_end, row0, job.m - row0);
    }
  }
}

}  // namespace qnext::QNEXT_ISA
