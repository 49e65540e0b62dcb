// One row (head_dim elements of K or V of one position and head) of the KV cache, in each of its number formats.
//
//   kF32     as it is
//   kBF16    rounded to nearest even
//   kF8E4M3  sign, 4 exponent bits (bias 7), 3 mantissa bits; no infinities, 0x7f and 0xff are NaN. Rounded to nearest
//            even, saturating at +-448; NaN becomes NaN.
//   kInt8    scale = max|x| / 127 in float32; code = x / scale (float32 division) rounded to nearest even, within
//            +-127. A row of zeros has scale 0 and codes 0; a row with anything not finite has scale NaN and codes 0.
#pragma once

#include <cstdint>

#include "kernels/kv_page.h"

namespace qnext::reference {

uint8_t FloatToE4M3(float value);
float E4M3ToFloat(uint8_t code);

// Writes x [head_dim] to `slot` of `head`, into K or V of the page.
void StoreKvRow(const float* x, const KvLayout& layout, int64_t head, int64_t slot, bool values, std::byte* page);
// The stored element, exact (an int8 code times its scale is exact in float64).
double LoadKvElement(const KvLayout& layout, int64_t head, int64_t slot, bool values, int64_t i, const std::byte* page);

}  // namespace qnext::reference
