#include "tensor/dtype.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace qnext {
namespace {

struct DTypeInfo {
  DType dtype;
  std::string_view name;
  int64_t size;
};

constexpr std::array<DTypeInfo, 12> kDTypes = {{{DType::kF64, "F64", 8},
                                                {DType::kF32, "F32", 4},
                                                {DType::kF16, "F16", 2},
                                                {DType::kBF16, "BF16", 2},
                                                {DType::kI64, "I64", 8},
                                                {DType::kI32, "I32", 4},
                                                {DType::kI16, "I16", 2},
                                                {DType::kI8, "I8", 1},
                                                {DType::kU8, "U8", 1},
                                                {DType::kBool, "BOOL", 1},
                                                {DType::kF8E4M3, "F8_E4M3", 1},
                                                {DType::kF8E5M2, "F8_E5M2", 1}}};

// Elements of one format side by side in 64 bits: adding the exponent's lowest bit to each carries into its sign bit,
// and no further, exactly where the exponent is all ones.
struct ExponentBits {
  uint64_t exponent, lowest, sign;
};

ExponentBits ExponentBitsOf(DType dtype) {
  constexpr uint64_t kEach16 = 0x0001000100010001u, kEach32 = 0x0000000100000001u;
  if (dtype == DType::kF32) return {kEach32 * 0x7f800000u, kEach32 * 0x00800000u, kEach32 * 0x80000000u};
  if (dtype == DType::kF16) return {kEach16 * 0x7c00u, kEach16 * 0x0400u, kEach16 * 0x8000u};
  return {kEach16 * 0x7f80u, kEach16 * 0x0080u, kEach16 * 0x8000u};
}

}  // namespace

int64_t DTypeSize(DType dtype) { return kDTypes[static_cast<size_t>(dtype)].size; }

std::string_view DTypeName(DType dtype) { return kDTypes[static_cast<size_t>(dtype)].name; }

std::optional<DType> ParseDType(std::string_view name) {
  for (const DTypeInfo& info : kDTypes) {
    if (info.name == name) return info.dtype;
  }
  return std::nullopt;
}

float F16ToFloat(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
  const uint32_t exponent = (bits >> 10) & 31u;
  const uint32_t mantissa = bits & 1023u;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  if (exponent == 0) {
    const float magnitude = std::ldexp(static_cast<float>(mantissa), -24);
    return sign != 0 ? -magnitude : magnitude;
  }
  return std::bit_cast<float>(sign | ((exponent + 112u) << 23) | (mantissa << 13));
}

uint16_t FloatToF16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u);
  if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);  // 65520 and above round to infinity
  if (magnitude < 0x38800000u) {                                               // below 2^-14: a multiple of 2^-24
    const float scaled = std::ldexp(std::bit_cast<float>(magnitude), 24);
    return static_cast<uint16_t>(sign | static_cast<uint32_t>(std::nearbyint(scaled)));
  }
  const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
  return static_cast<uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
}

std::optional<int64_t> FindNotFinite(const void* elements, DType dtype, int64_t count) {
  QNEXT_CHECK(IsFloat16Or32(dtype), "a float format");
  constexpr int64_t kBlock = 4096;  // bytes; a constant, for a loop that the compiler vectorises
  const ExponentBits bits = ExponentBitsOf(dtype);
  const int64_t size = DTypeSize(dtype), bytes = count * size;
  const std::byte* data = static_cast<const std::byte*>(elements);
  for (int64_t begin = 0; begin < bytes; begin += kBlock) {
    std::byte last[kBlock];
    const std::byte* block = data + begin;
    if (bytes - begin < kBlock) {
      std::fill(std::copy(block, data + bytes, last), last + kBlock, std::byte{0});
      block = last;
    }
    uint64_t carries = 0;
    for (int64_t i = 0; i < kBlock; i += 8) {
      uint64_t word;
      std::memcpy(&word, block + i, 8);
      carries |= (word & bits.exponent) + bits.lowest;
    }
    if ((carries & bits.sign) == 0) continue;
    for (int64_t i = 0; i < kBlock; i += size) {
      uint32_t element = 0;
      std::memcpy(&element, block + i, static_cast<size_t>(size));
      if ((((element & bits.exponent) + bits.lowest) & bits.sign) != 0) return (begin + i) / size;
    }
  }
  return std::nullopt;
}

}  // namespace qnext
