// The int4 layout that CPU and GPU kernels share, and the repacking of GPTQ tensors into it. Byte table:
// docs/int4-layout.md
//
// One linear layer [out, in] is one block of three planes, each starting on a multiple of 64 bytes:
//
//   codes   [tiles][in_padded/8][16][4] bytes  tile t holds output rows 16t .. 16t+15. The word (b, r) holds the
//                                              inputs 8b .. 8b+7 of row 16t+r: byte i has input 8b+i in its low nibble
//                                              and input 8b+4+i in its high nibble
//   scales  [tiles][groups][16] 16-bit         F16 or BF16 as stored, scale_dtype says which
//   zeros   [tiles][groups][16] bytes          0..15; present only if has_zeros, otherwise every zero point is 8
//
// in_padded = in rounded up to 32; padding codes equal the zero point 8 and their activations are 0. Rows past `out` in
// the last tile have code 8, scale 0 and zero point 8; bytes between planes are 0. Group g spans the inputs from
// g*group_size; group_size is a multiple of 32, so that a run of 32 inputs lies in one group. Inputs stand in the order
// of `input_permutation` when there is one (act-order checkpoints): position p holds the checkpoint's input
// permutation[p], and the activations must be gathered alike before the product.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/range.h"
#include "base/status.h"
#include "quant/gptq.h"
#include "tensor/dtype.h"

namespace qnext {

constexpr int64_t kInt4TileRows = 16;
constexpr int64_t kInt4BlockInputs = 32;  // inputs that share one int8 activation scale

// The sizes and offsets of one packed matrix: a pure value, computable without any weights.
struct Int4Layout {
  int64_t out = 0;
  int64_t in = 0;
  int64_t group_size = 0;  // inputs per scale, a multiple of 32 (in_padded when one group spans all)
  bool has_zeros = false;
  DType scale_dtype = DType::kF16;

  int64_t tiles() const { return CeilDiv(out, kInt4TileRows); }
  int64_t in_padded() const { return RoundUp(in, kInt4BlockInputs); }
  int64_t groups() const { return CeilDiv(in, group_size); }
  int64_t code_bytes_per_tile() const { return in_padded() / 8 * 64; }
  int64_t scales_offset() const { return tiles() * code_bytes_per_tile(); }
  int64_t zeros_offset() const { return RoundUp(scales_offset() + tiles() * groups() * kInt4TileRows * 2, 64); }
  int64_t bytes() const { return RoundUp(zeros_offset() + (has_zeros ? tiles() * groups() * kInt4TileRows : 0), 64); }

  friend bool operator==(const Int4Layout&, const Int4Layout&) = default;
};

// A non-owning view of one packed matrix; `data` is 64-byte aligned and must outlive the view.
struct Int4Matrix {
  Int4Layout layout;
  const std::byte* data = nullptr;

  const uint8_t* codes(int64_t tile) const {
    return reinterpret_cast<const uint8_t*>(data) + tile * layout.code_bytes_per_tile();
  }
  const uint16_t* scales(int64_t tile) const {
    return reinterpret_cast<const uint16_t*>(data + layout.scales_offset()) + tile * layout.groups() * kInt4TileRows;
  }
  // Only with layout.has_zeros.
  const uint8_t* zeros(int64_t tile) const {
    return reinterpret_cast<const uint8_t*>(data + layout.zeros_offset()) + tile * layout.groups() * kInt4TileRows;
  }
};

// The layout that the tensors need: has_zeros only if some zero point differs from 8. The tensors must be valid
// (ValidateGptq) and group_size a multiple of 32 or at least in.
Int4Layout Int4LayoutFor(const GptqTensors& tensors);

// The order of inputs that makes groups contiguous: empty if g_idx is absent or already in order, otherwise
// permutation[p] = the checkpoint input at position p (stable within a group).
std::vector<int32_t> Int4InputPermutation(const GptqTensors& tensors);

// Writes layout.bytes() bytes to `out` (64-byte aligned). `input_permutation` as returned above or empty.
// `row_permutation`, if not empty, is [out]: packed row r is the checkpoint's row row_permutation[r] (folds down_proj's
// input order into gate and up).
void PackInt4(const GptqTensors& tensors, const Int4Layout& layout, std::span<const int32_t> input_permutation,
              std::span<const int32_t> row_permutation, std::byte* out);

// weights [out, in] in packed order, float32: what the packed matrix stands for.
std::vector<float> DequantizeInt4(const Int4Matrix& matrix);

}  // namespace qnext
