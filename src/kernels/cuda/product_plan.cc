#include "kernels/cuda/product_plan.h"

#include <algorithm>

#include "base/check.h"
#include "base/range.h"
#include "quant/int4_matrix.h"

namespace qnext::cuda {
namespace {

constexpr int64_t kQuadRuns = 4;
constexpr int64_t kSliceRuns = 16;  // 4 KB of int4 codes: what a warp has on its way at once
constexpr int64_t kMostSlices = 8;
constexpr int64_t kMostRuns = 65535;

}  // namespace

RunSlices SliceRuns(int64_t in_padded) {
  const int64_t runs = in_padded / kInt4BlockInputs;
  QNEXT_CHECK(runs > 0 && runs <= kMostRuns, "rows of 32 to 2 million inputs");
  const int64_t count = std::min(kMostSlices, CeilDiv(runs, kSliceRuns));
  const int64_t per_slice = RoundUp(CeilDiv(runs, count), kQuadRuns);
  return {.runs = static_cast<int32_t>(runs),
          .per_slice = static_cast<int32_t>(per_slice),
          .count = static_cast<int32_t>(CeilDiv(runs, per_slice))};
}

uint32_t GroupMultiplier(int64_t runs_per_group) {
  QNEXT_CHECK(runs_per_group > 0 && runs_per_group <= kMostRuns, "groups of 32 to 2 million inputs");
  if (runs_per_group == 1) return 0;
  return static_cast<uint32_t>(CeilDiv(int64_t{1} << 32, runs_per_group));
}

int32_t GemvTilesPerBlock(int32_t slices, int64_t tiles, int64_t processors) {
  int32_t held = std::max(1, kGemvMostWarps / slices);
  while (held > 1 && CeilDiv(tiles, held) < 2 * processors) held /= 2;
  return held;
}

int32_t DenseWarpsPerRow(int64_t in) {
  int32_t warps = 1;
  while (warps < kDenseMostWarps && warps * kDenseWarpInputs < in) warps *= 2;
  return warps;
}

}  // namespace qnext::cuda
