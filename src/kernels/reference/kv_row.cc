#include "kernels/reference/kv_row.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "tensor/dtype.h"

namespace qnext::reference {
namespace {

template <typename T>
T ReadAs(const std::byte* p) {
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

template <typename T>
void WriteAs(std::byte* p, T value) {
  std::memcpy(p, &value, sizeof value);
}

float Int8Scale(const float* x, int64_t n) {
  float maximum = 0;
  for (int64_t i = 0; i < n; ++i) {
    if (!std::isfinite(x[i])) return std::numeric_limits<float>::quiet_NaN();
    maximum = std::max(maximum, std::abs(x[i]));
  }
  return maximum / 127.0f;
}

int8_t Int8Code(float value, float scale) {
  if (!(scale > 0)) return 0;
  return static_cast<int8_t>(std::clamp(std::nearbyint(value / scale), -127.0f, 127.0f));
}

}  // namespace

uint8_t FloatToE4M3(float value) {
  const uint8_t sign = std::signbit(value) ? 0x80 : 0;
  if (std::isnan(value)) return sign | 0x7f;
  const float magnitude = std::min(std::abs(value), 448.0f);
  // Spacing of the format around the magnitude: 2^(exponent - 3), and 2^-9 below the smallest normal 2^-6.
  const int exponent = magnitude == 0 ? -6 : std::max(std::ilogb(magnitude), -6);
  const int steps = static_cast<int>(std::nearbyint(std::ldexp(magnitude, 3 - exponent)));  // 0..16
  // steps = 8 + mantissa for normals; 16 carries into the exponent by itself.
  return static_cast<uint8_t>(sign | ((exponent + 6) * 8 + steps));
}

float E4M3ToFloat(uint8_t code) {
  const int exponent = (code >> 3) & 15, mantissa = code & 7;
  float magnitude = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -9)
                                  : std::ldexp(static_cast<float>(8 + mantissa), exponent - 10);
  if ((code & 0x7f) == 0x7f) magnitude = std::numeric_limits<float>::quiet_NaN();
  return (code & 0x80) != 0 ? -magnitude : magnitude;
}

void StoreKvRow(const float* x, const KvLayout& layout, int64_t head, int64_t slot, bool values, std::byte* page) {
  std::byte* row = page + (values ? layout.v_offset(head, slot) : layout.k_offset(head, slot));
  const float scale = layout.type == KvType::kInt8 ? Int8Scale(x, layout.head_dim) : 0.0f;
  for (int64_t i = 0; i < layout.head_dim; ++i) {
    switch (layout.type) {
      case KvType::kF32:
        WriteAs(row + 4 * i, x[i]);
        break;
      case KvType::kBF16:
        WriteAs(row + 2 * i, FloatToBF16(x[i]));
        break;
      case KvType::kF8E4M3:
        WriteAs(row + i, FloatToE4M3(x[i]));
        break;
      case KvType::kInt8:
        WriteAs(row + i, Int8Code(x[i], scale));
        break;
    }
  }
  if (layout.type == KvType::kInt8) {
    WriteAs(page + (values ? layout.v_scale_offset(head, slot) : layout.k_scale_offset(head, slot)), scale);
  }
}

double LoadKvElement(const KvLayout& layout, int64_t head, int64_t slot, bool values, int64_t i,
                     const std::byte* page) {
  const std::byte* row = page + (values ? layout.v_offset(head, slot) : layout.k_offset(head, slot));
  switch (layout.type) {
    case KvType::kF32:
      return ReadAs<float>(row + 4 * i);
    case KvType::kBF16:
      return BF16ToFloat(ReadAs<uint16_t>(row + 2 * i));
    case KvType::kF8E4M3:
      return E4M3ToFloat(ReadAs<uint8_t>(row + i));
    case KvType::kInt8:
      break;
  }
  const int64_t scale_at = values ? layout.v_scale_offset(head, slot) : layout.k_scale_offset(head, slot);
  return static_cast<double>(ReadAs<float>(page + scale_at)) * ReadAs<int8_t>(row + i);
}

}  // namespace qnext::reference
