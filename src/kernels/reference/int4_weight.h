// Single elements of a packed int4 matrix, straight from the byte table of quant/int4_matrix.h.
#pragma once

#include <cstdint>

#include "quant/int4_matrix.h"

namespace qnext::reference {

// 0..15
inline int Int4Code(const Int4Matrix& matrix, int64_t row, int64_t input) {
  const int64_t word = input / 8 * kInt4TileRows + row % kInt4TileRows;
  const uint8_t byte = matrix.codes(row / kInt4TileRows)[word * 4 + input % 4];
  return input % 8 < 4 ? byte & 15 : byte >> 4;
}

inline float Int4Scale(const Int4Matrix& matrix, int64_t row, int64_t input) {
  const int64_t group = input / matrix.layout.group_size;
  const uint16_t bits = matrix.scales(row / kInt4TileRows)[group * kInt4TileRows + row % kInt4TileRows];
  return matrix.layout.scale_dtype == DType::kBF16 ? BF16ToFloat(bits) : F16ToFloat(bits);
}

// 0..15
inline int Int4Zero(const Int4Matrix& matrix, int64_t row, int64_t input) {
  if (!matrix.layout.has_zeros) return 8;
  const int64_t group = input / matrix.layout.group_size;
  return matrix.zeros(row / kInt4TileRows)[group * kInt4TileRows + row % kInt4TileRows];
}

}  // namespace qnext::reference
