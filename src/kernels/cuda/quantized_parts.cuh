// The parts of an int4 or int8 product as kernels see them, and their making from what callers give.
#pragma once

#include <algorithm>
#include <string>

#include "kernels/cuda/kernel_launch.h"
#include "kernels/cuda/product_plan.h"
#include "kernels/cuda/products.h"
#include "kernels/cuda/quantized_tile.cuh"

namespace qnext::cuda {

// Int8Rows for reading.
struct QuantizedInputs {
  const uint8_t* codes;  // [rows, runs * 32]
  const float* scales;   // [rows, runs]
  const int32_t* sums;   // [rows, runs]
};

struct QuantizedPart {
  TilePlanes planes;
  TileShape shape;
  QuantizedInputs x;
  float* y;
  int64_t y_stride;
  int32_t items_end;  // items of this part and those before it

  // The rows of `all` from `row` on.
  void SetRows(const QuantizedPart& all, int64_t row) {
    x.codes = all.x.codes + row * shape.runs * kRunInputs;
    x.scales = all.x.scales + row * shape.runs;
    x.sums = all.x.sums + row * shape.runs;
    y = all.y + row * y_stride;
  }
};

// Parts of one kernel: alike in format, in what serves a quad and in their slices.
struct QuantizedGemvArgs {
  QuantizedPart parts[kMaxParts];
  int32_t m;
  int32_t items;
  int32_t tiles_per_item;
};

// The matrix-matrix kernels.
Status LaunchInt4Gemm(const QuantizedGemvArgs& args, int count, bool one_group, bool zeros, Stream stream);
Status LaunchInt8Gemm(const QuantizedGemvArgs& args, int count, Stream stream);

constexpr int64_t kMostTiles = int64_t{1} << 26;
constexpr int64_t kMostRows = int64_t{1} << 20;

inline Result<TileShape> MakeTileShape(int64_t out, int64_t in_padded, int64_t group_size, bool bf16_scales) {
  if (out <= 0 || in_padded <= 0 || in_padded % kRunInputs != 0) return InvalidArgument("no rows or no inputs");
  if (group_size <= 0 || group_size % kRunInputs != 0) return InvalidArgument("groups are multiples of 32 inputs");
  if (CeilDiv(out, kTileRows) > kMostTiles || in_padded > (int64_t{1} << 20)) return InvalidArgument("too large");
  const RunSlices slices = SliceRuns(in_padded);
  const int64_t runs_per_group = std::min<int64_t>(group_size / kRunInputs, slices.runs);
  return TileShape{.out = static_cast<int32_t>(out),
                   .tiles = static_cast<int32_t>(CeilDiv(out, kTileRows)),
                   .runs = slices.runs,
                   .slice_runs = slices.per_slice,
                   .slices = slices.count,
                   .groups = static_cast<int32_t>(CeilDiv(slices.runs, runs_per_group)),
                   .runs_per_group = static_cast<int32_t>(runs_per_group),
                   .group_multiplier = GroupMultiplier(runs_per_group),
                   .bf16_scales = bf16_scales};
}

// Whether a scale serves all four runs wherever a multiple of four begins.
inline bool ScalesServeQuads(const TileShape& shape) {
  return shape.groups == 1 || shape.runs_per_group % kQuadRuns == 0;
}

inline Result<TileShape> Int4TileShape(const Int4Layout& layout) {
  if (layout.scale_dtype != DType::kF16 && layout.scale_dtype != DType::kBF16) {
    return InvalidArgument("int4 scales are F16 or BF16");
  }
  return MakeTileShape(layout.out, layout.in_padded(), layout.group_size, layout.scale_dtype == DType::kBF16);
}

// `zeros` points past the scales where there are no zero points; it is not read then.
inline TilePlanes Int4Planes(const Int4Layout& layout, const std::byte* data) {
  const uint8_t* base = reinterpret_cast<const uint8_t*>(data);
  return {base, base + layout.scales_offset(), base + layout.zeros_offset()};
}

inline Result<QuantizedInputs> MakeInputs(const Int8Rows& rows, const TileShape& shape, bool zeros) {
  if (rows.in_padded != int64_t{shape.runs} * kRunInputs) return InvalidArgument("inputs of another length");
  if (rows.codes == nullptr || rows.scales == nullptr || (zeros && rows.sums == nullptr)) {
    return InvalidArgument("inputs are missing");
  }
  if (!AlignedTo(rows.codes, 16)) return InvalidArgument("codes are not 16-byte aligned");
  return QuantizedInputs{reinterpret_cast<const uint8_t*>(rows.codes), rows.scales, rows.sums};
}

}  // namespace qnext::cuda
