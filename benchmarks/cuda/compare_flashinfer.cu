// FlashInfer's kernels as compare_flashinfer.h wants them. Only built where QNEXT_FLASHINFER_INCLUDE names the headers.
#include <algorithm>
#include <exception>
#include <flashinfer/attention/decode.cuh>
#include <flashinfer/attention/default_decode_params.cuh>
#include <flashinfer/attention/scheduler.cuh>
#include <flashinfer/attention/variants.cuh>
#include <flashinfer/norm.cuh>
#include <flashinfer/page.cuh>
#include <string>
#include <vector>

#include "compare_flashinfer.h"
#include "hw/cuda/cuda_status.h"
#include "kernels/kv_page.h"

namespace qnext::workbench {
namespace {

using Element = nv_bfloat16;
using Params = flashinfer::BatchDecodeParams<Element, Element, Element, int32_t>;
using Variant = flashinfer::DefaultAttention</*use_custom_mask=*/false, /*use_sliding_window=*/false,
                                             /*use_logits_soft_cap=*/false, /*use_alibi=*/false>;
constexpr uint32_t kHeadDim = 256, kGroup = 8;
constexpr auto kNoPositions = flashinfer::PosEncodingMode::kNone;

// FlashInfer reports what it does not support by exceptions.
template <typename F>
Status Caught(const char* what, F call) {
  try {
    return cuda::ToStatus(call(), what);
  } catch (const std::exception& e) {
    return Unsupported(std::string(what) + ": " + e.what());
  }
}

}  // namespace

Status PlanFlashInferDecode(FlashInferDecode* decode) {
  const int32_t pages = static_cast<int32_t>(CeilDiv(decode->context, kKvPageTokens));
  int32_t range[2] = {0, pages};
  bool split = false;
  uint32_t most_blocks = 0, pages_a_piece = 0, pieces = 0, heads = 0;
  QNEXT_RETURN_IF_ERROR(Caught("FlashInfer plan", [&] {
    return flashinfer::BatchDecodeWithPagedKVCacheWorkEstimationDispatched<kGroup, kHeadDim, kNoPositions, Variant,
                                                                           Params>(
        split, most_blocks, pages_a_piece, pieces, heads, /*batch_size=*/1, range,
        static_cast<uint32_t>(decode->query_heads), static_cast<uint32_t>(kKvPageTokens), /*enable_cuda_graph=*/true,
        /*stream=*/nullptr);
  }));
  if (pieces > FlashInferDecode::kMostPieces) return Unsupported("FlashInfer plan: more pieces than there is room for");
  decode->piece_count = pieces;
  std::vector<int32_t> words(static_cast<size_t>(FlashInferDecode::kPieceWords), 0);
  for (uint32_t i = 0; i < pieces; ++i) words[FlashInferDecode::kMostPieces + i] = static_cast<int32_t>(i);
  words[2 * FlashInferDecode::kMostPieces + 1] = static_cast<int32_t>(pieces);
  words[2 * FlashInferDecode::kMostPieces + 2] = static_cast<int32_t>(pages_a_piece * kKvPageTokens);
  return cuda::ToStatus(
      cudaMemcpy(decode->pieces, words.data(), words.size() * sizeof(int32_t), cudaMemcpyHostToDevice),
      "FlashInfer plan");
}

Status LaunchFlashInferDecode(const FlashInferDecode& decode, cuda::Stream stream) {
  // [pages, K or V, heads, positions, dim]: one page is both planes, so V's page is a plane behind K's.
  const int64_t plane = decode.kv_heads * kKvPageTokens * kHeadDim;
  const int64_t strides[3] = {decode.page_bytes / static_cast<int64_t>(sizeof(Element)), kKvPageTokens * kHeadDim,
                              kHeadDim};
  Element* keys = reinterpret_cast<Element*>(decode.pages);
  const flashinfer::paged_kv_t<Element, int32_t> cache(
      static_cast<uint32_t>(decode.kv_heads), static_cast<uint32_t>(kKvPageTokens), kHeadDim, /*batch_size=*/1,
      flashinfer::QKVLayout::kHND, keys, keys + plane, strides, decode.page_ids, decode.page_range, decode.last_page);
  Params params(static_cast<Element*>(const_cast<void*>(decode.query)), /*q_rope_offset=*/nullptr, cache,
                static_cast<Element*>(decode.out), /*lse=*/nullptr, /*maybe_alibi_slopes=*/nullptr,
                static_cast<uint32_t>(decode.query_heads), static_cast<int32_t>(decode.query_heads * kHeadDim),
                static_cast<int32_t>(kHeadDim), /*window_left=*/-1, /*logits_soft_cap=*/0, decode.scale,
                /*rope_scale=*/1, /*rope_theta=*/1e4f);
  params.padded_batch_size = static_cast<uint32_t>(decode.piece_count);
  params.request_indices = decode.pieces;
  params.kv_tile_indices = decode.pieces + FlashInferDecode::kMostPieces;
  params.o_indptr = decode.pieces + 2 * FlashInferDecode::kMostPieces;
  params.kv_chunk_size_ptr = decode.pieces + 2 * FlashInferDecode::kMostPieces + 2;
  params.block_valid_mask = nullptr;
  return Caught("FlashInfer decode", [&] {
    return flashinfer::BatchDecodeWithPagedKVCacheDispatched<kHeadDim, kNoPositions, Variant, Params>(
        params, static_cast<Element*>(decode.partial), decode.partial_sums, /*enable_pdl=*/false, stream);
  });
}

Status LaunchFlashInferAddNorm(float* input, float* residual, float* weight, int64_t dim, float eps,
                               cuda::Stream stream) {
  return Caught("FlashInfer norm", [&] {
    return flashinfer::norm::GemmaFusedAddRMSNorm<float>(input, residual, weight, /*batch_size=*/1,
                                                         static_cast<uint32_t>(dim), static_cast<uint32_t>(dim),
                                                         static_cast<uint32_t>(dim), eps, /*enable_pdl=*/false, stream);
  });
}

}  // namespace qnext::workbench
