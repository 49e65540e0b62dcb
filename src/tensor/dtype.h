// Element types of stored tensors, and exact conversion of the 16-bit float formats.
#pragma once

#include <bit>
#include <cstdint>
#include <optional>
#include <string_view>

namespace qnext {

enum class DType : uint8_t { kF64, kF32, kF16, kBF16, kI64, kI32, kI16, kI8, kU8, kBool, kF8E4M3, kF8E5M2 };

int64_t DTypeSize(DType dtype);
// The name used by safetensors headers: "BF16", "I32", "F8_E4M3", ...
std::string_view DTypeName(DType dtype);
std::optional<DType> ParseDType(std::string_view name);
inline bool IsFloat16Or32(DType dtype) { return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16; }

inline float BF16ToFloat(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

// Round to nearest even; NaN stays NaN.
inline uint16_t FloatToBF16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

float F16ToFloat(uint16_t bits);
// Round to nearest even, overflow to infinity, subnormals kept.
uint16_t FloatToF16(float value);

// The first of `count` elements that is NaN or infinite; F32, F16 or BF16. For whole checkpoints: reads as fast as
// memory gives.
std::optional<int64_t> FindNotFinite(const void* elements, DType dtype, int64_t count);

}  // namespace qnext
