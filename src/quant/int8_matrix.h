// The int8 layout that CPU and GPU kernels share, for linears stored in 16 bits that are multiplied as int8
// (--dense-weights int8).
//
// One linear layer [out, in] is one block of two planes, each starting on a multiple of 64 bytes:
//
//   codes   [tiles][in_padded/4][16][4] int8   tile t holds output rows 16t .. 16t+15. The word (b, r) holds the inputs
//                                              4b .. 4b+3 of row 16t+r, one per byte, in -127 .. 127
//   scales  [tiles][groups][16] float32        one for each row and each group of 128 inputs
//
// in_padded = in rounded up to 32; the codes of padding inputs are 0. Rows past `out` in the last tile have code 0 and
// scale 0. The last group may be short.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/range.h"
#include "base/status.h"
#include "quant/int4_matrix.h"
#include "tensor/dtype.h"

namespace qnext {

constexpr int64_t kInt8GroupInputs = 128;  // inputs that share one weight scale

// The sizes and offsets of one packed matrix: a pure value, computable without any weights.
struct Int8Layout {
  int64_t out = 0;
  int64_t in = 0;

  int64_t tiles() const { return CeilDiv(out, kInt4TileRows); }
  int64_t in_padded() const { return RoundUp(in, kInt4BlockInputs); }
  int64_t groups() const { return CeilDiv(in, kInt8GroupInputs); }
  int64_t code_bytes_per_tile() const { return in_padded() * kInt4TileRows; }
  int64_t scales_offset() const { return RoundUp(tiles() * code_bytes_per_tile(), 64); }
  int64_t bytes() const { return RoundUp(scales_offset() + tiles() * groups() * kInt4TileRows * 4, 64); }

  friend bool operator==(const Int8Layout&, const Int8Layout&) = default;
};

// A non-owning view of one packed matrix; `data` is 64-byte aligned and must outlive the view.
struct Int8Matrix {
  Int8Layout layout;
  const std::byte* data = nullptr;

  const int8_t* codes(int64_t tile) const {
    return reinterpret_cast<const int8_t*>(data) + tile * layout.code_bytes_per_tile();
  }
  const float* scales(int64_t tile) const {
    return reinterpret_cast<const float*>(data + layout.scales_offset()) + tile * layout.groups() * kInt4TileRows;
  }
};

// Quantizes `weight` [out, in] row-major F32, F16 or BF16 (naturally aligned) into `out`, layout.bytes() bytes, 64-byte
// aligned, all of which are written. Per row and group scale = max|w| / 127 and code = w / scale rounded to nearest
// even; a group of zeros has scale 0. So |w - scale * code| <= scale / 2, up to the rounding of the quotient
// (docs/numerics.md). kCorrupt if an element is not finite, naming its row.
Status PackInt8(const void* weight, DType dtype, const Int8Layout& layout, std::byte* out);

// weights [out, in], float32: what the packed matrix stands for.
std::vector<float> DequantizeInt8(const Int8Matrix& matrix);

}  // namespace qnext
