// What the two kernels of attention share: which positions a split covers, and where it leaves its part of the softmax.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cuda/attention.h"

namespace qnext::cuda::attention {

constexpr int kSplits = static_cast<int>(kAttentionSplits);
constexpr int kTilePositions = static_cast<int>(kAttentionTile);
constexpr int kTilesOfPage = static_cast<int>(kKvPageTokens) / kTilePositions;

// The tiles [first, last) of a split; the first UsedSplits() ones have some, the others none.
struct Tiles {
  int first, last;
};
__device__ inline int UsedSplits(int position) { return min(position / kTilePositions + 1, kSplits); }
__device__ inline Tiles TilesOfSplit(int position, int split) {
  const int tiles = position / kTilePositions + 1, used = min(tiles, kSplits);
  if (split >= used) return {0, 0};
  // At most 2^31 / 16 tiles, so that 32 bits do not hold the products.
  return {static_cast<int>(static_cast<int64_t>(split) * tiles / used),
          static_cast<int>(static_cast<int64_t>(split + 1) * tiles / used)};
}

// Of local row r and query head h: values [rows, Hq, splits, Dh], then (maximum, sum) pairs [rows, Hq, splits].
struct Partials {
  float* values;
  float2* stats;
  int64_t query_heads, head_dim;

  __device__ Partials(const AttentionDecodeArgs& args, int64_t rows)
      : values(args.partial),
        stats(reinterpret_cast<float2*>(args.partial +
                                        rows * args.query_heads * kAttentionSplits * args.kv.layout.head_dim)),
        query_heads(args.query_heads),
        head_dim(args.kv.layout.head_dim) {}
  __device__ float* ValuesAt(int64_t row, int64_t head, int64_t split) const {
    return values + ((row * query_heads + head) * kAttentionSplits + split) * head_dim;
  }
  __device__ float2* StatsAt(int64_t row, int64_t head, int64_t split) const {
    return stats + (row * query_heads + head) * kAttentionSplits + split;
  }
};

// Puts the parts of rows [first_row, first_row + rows) together.
Status LaunchCombine(const AttentionDecodeArgs& args, int64_t first_row, int64_t rows, Stream stream);

}  // namespace qnext::cuda::attention
