// How the products of kernels/cuda cut their work: pure functions of sizes, tested without a device.
#pragma once

#include <cstdint>

namespace qnext::cuda {

// The inputs of an int4 or int8 row, in runs of 32, are cut into slices that are summed apart and then added in order.
// The cut depends on the number of inputs alone, so that every kernel - any number of rows, any device - adds alike
// and gives the same bits.
struct RunSlices {
  int32_t runs;       // of a row
  int32_t per_slice;  // a multiple of 4 (kQuadRuns), fewer in the last
  int32_t count;
};
RunSlices SliceRuns(int64_t in_padded);

// group = run / runs_per_group without a division: the high half of run * multiplier, or run itself where that is 0.
// Exact for runs up to 65535.
uint32_t GroupMultiplier(int64_t runs_per_group);
inline int64_t GroupOfRun(uint32_t run, uint32_t multiplier) {
  return multiplier == 0 ? run : static_cast<int64_t>((static_cast<uint64_t>(run) * multiplier) >> 32);
}

// A block of the quantized matrix-vector kernel has a warp for each slice of the tiles that it holds: as many tiles as
// kGemvMostWarps allows while there are two blocks for each of the device's processors.
constexpr int32_t kGemvMostWarps = 8;
int32_t GemvTilesPerBlock(int32_t slices, int64_t tiles, int64_t processors);

// The lanes that share a row of the dense matrix-vector kernel: `warps` warps (a power of two up to kDenseMostWarps)
// take 256 neighbouring inputs each, then the next warps * 256.
constexpr int32_t kDenseWarpInputs = 256;
constexpr int32_t kDenseMostWarps = 16;
int32_t DenseWarpsPerRow(int64_t in);

}  // namespace qnext::cuda
