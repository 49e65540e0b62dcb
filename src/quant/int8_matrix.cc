#include "quant/int8_matrix.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"

namespace qnext {
namespace {

// `count` elements from `first` on, widened.
void Widen(const void* weight, DType dtype, int64_t first, int64_t count, float* out) {
  if (dtype == DType::kF32) {
    std::memcpy(out, static_cast<const float*>(weight) + first, static_cast<size_t>(count) * 4);
    return;
  }
  const uint16_t* bits = static_cast<const uint16_t*>(weight) + first;
  if (dtype == DType::kBF16) {
    for (int64_t i = 0; i < count; ++i) out[i] = BF16ToFloat(bits[i]);
  } else {
    for (int64_t i = 0; i < count; ++i) out[i] = F16ToFloat(bits[i]);
  }
}

// Codes of one group; the caller's 128 floats may end in padding zeros. NaN if an element is not finite.
float QuantizeGroup(const float* w, int8_t* codes) {
  float largest = 0, poison = 0;
  for (int64_t i = 0; i < kInt8GroupInputs; ++i) {
    largest = std::max(largest, std::abs(w[i]));
    poison += w[i] * 0.0f;  // NaN for infinities and NaN
  }
  const float scale = largest / 127.0f + poison;
  if (std::isnan(scale)) return scale;
  if (scale == 0) {
    std::fill_n(codes, kInt8GroupInputs, int8_t{0});
    return scale;
  }
  for (int64_t i = 0; i < kInt8GroupInputs; ++i) {
    constexpr float kRounder = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer, to nearest even
    // A subnormal scale is too coarse to keep the quotient inside.
    const float q = std::min(std::max(w[i] / scale, -127.0f), 127.0f);
    codes[i] = static_cast<int8_t>((q + kRounder) - kRounder);
  }
  return scale;
}

}  // namespace

Status PackInt8(const void* weight, DType dtype, const Int8Layout& layout, std::byte* out) {
  QNEXT_CHECK(IsFloat16Or32(dtype), "dense weights are F32, F16 or BF16");
  const int64_t padded = layout.in_padded(), groups = layout.groups();
  std::memset(out, 0, static_cast<size_t>(layout.bytes()));
  float* scales = reinterpret_cast<float*>(out + layout.scales_offset());
  float w[kInt8GroupInputs];
  int8_t codes[kInt8GroupInputs];
  for (int64_t row = 0; row < layout.out; ++row) {
    const int64_t tile = row / kInt4TileRows, r = row % kInt4TileRows;
    std::byte* tile_codes = out + tile * layout.code_bytes_per_tile();
    for (int64_t group = 0; group < groups; ++group) {
      const int64_t first = group * kInt8GroupInputs;
      const int64_t count = std::min(kInt8GroupInputs, layout.in - first);
      std::fill_n(w, kInt8GroupInputs, 0.0f);
      Widen(weight, dtype, row * layout.in + first, count, w);
      const float scale = QuantizeGroup(w, codes);
      if (std::isnan(scale)) return Corrupt(fmt::format("row {}: an element is not finite", row));
      scales[(tile * groups + group) * kInt4TileRows + r] = scale;
      const int64_t words = std::min(kInt8GroupInputs, padded - first) / 4;
      for (int64_t word = 0; word < words; ++word) {
        std::memcpy(tile_codes + ((first / 4 + word) * kInt4TileRows + r) * 4, codes + word * 4, 4);
      }
    }
  }
  return {};
}

std::vector<float> DequantizeInt8(const Int8Matrix& matrix) {
  const Int8Layout& layout = matrix.layout;
  std::vector<float> weights(static_cast<size_t>(layout.out * layout.in));
  for (int64_t row = 0; row < layout.out; ++row) {
    const int64_t tile = row / kInt4TileRows, r = row % kInt4TileRows;
    const int8_t* codes = matrix.codes(tile);
    const float* scales = matrix.scales(tile);
    for (int64_t i = 0; i < layout.in; ++i) {
      weights[static_cast<size_t>(row * layout.in + i)] =
          scales[i / kInt8GroupInputs * kInt4TileRows + r] *
          static_cast<float>(codes[(i / 4 * kInt4TileRows + r) * 4 + i % 4]);
    }
  }
  return weights;
}

}  // namespace qnext
