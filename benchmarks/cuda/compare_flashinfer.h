// What the comparison asks of FlashInfer, without its headers: these need other flags than this project's sources.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/status.h"
#include "kernels/cuda/launch.h"

namespace qnext::workbench {

// One row of FlashInfer's paged decode attention over pages as kernels/kv_page.h lays BF16 ones out; heads of 256. The
// split of the context over blocks is FlashInfer's own and made once, on the host, as its users do.
struct FlashInferDecode {
  const void* query;    // [query_heads, 256] BF16
  std::byte* pages;     // page p at p * page_bytes
  int32_t* page_ids;    // [pages]
  int32_t* page_range;  // {0, pages}
  int32_t* last_page;   // {positions in the last page}
  void* out;            // [query_heads, 256] BF16
  int32_t* pieces;      // kMostPieces each of: row, piece; then {0, pieces}, then positions of a piece
  void* partial;        // [kMostPieces, query_heads, 256] BF16
  float* partial_sums;  // [kMostPieces, query_heads]
  int64_t context, query_heads, kv_heads, page_bytes;
  float scale;
  int64_t piece_count = 0;  // set by Plan

  static constexpr int64_t kMostPieces = 4096;
  static constexpr int64_t kPieceWords = 2 * kMostPieces + 3;
};
// Fills `pieces` and piece_count. Before anything is captured.
Status PlanFlashInferDecode(FlashInferDecode* decode);
Status LaunchFlashInferDecode(const FlashInferDecode& decode, cuda::Stream stream);

// residual += input; input = residual / rms(residual) * (1 + weight), float32 [dim].
Status LaunchFlashInferAddNorm(float* input, float* residual, float* weight, int64_t dim, float eps,
                               cuda::Stream stream);

}  // namespace qnext::workbench
