#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace qnext {
namespace {

TEST(DType, NamesRoundTrip) {
  for (int i = 0; i < 12; ++i) {
    const DType dtype = static_cast<DType>(i);
    EXPECT_EQ(ParseDType(DTypeName(dtype)), dtype);
    EXPECT_GE(DTypeSize(dtype), 1);
  }
  EXPECT_EQ(ParseDType("F12"), std::nullopt);
}

TEST(DType, EveryF16BitPatternRoundTrips) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const float value = F16ToFloat(static_cast<uint16_t>(bits));
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(F16ToFloat(FloatToF16(value))));
    } else {
      EXPECT_EQ(FloatToF16(value), bits);
    }
  }
}

TEST(DType, F16RoundsToNearestEven) {
  EXPECT_EQ(F16ToFloat(FloatToF16(1.0f + 1.0f / 2048)), 1.0f);                // tie, even below
  EXPECT_EQ(F16ToFloat(FloatToF16(1.0f + 3.0f / 2048)), 1.0f + 2.0f / 1024);  // tie, even above
  EXPECT_EQ(F16ToFloat(FloatToF16(65519.0f)), 65504.0f);
  EXPECT_TRUE(std::isinf(F16ToFloat(FloatToF16(65520.0f))));
  EXPECT_EQ(F16ToFloat(FloatToF16(std::ldexp(1.0f, -24))), std::ldexp(1.0f, -24));
  EXPECT_EQ(F16ToFloat(FloatToF16(std::ldexp(1.0f, -25))), 0.0f);
}

TEST(DType, EveryBF16BitPatternRoundTrips) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const float value = BF16ToFloat(static_cast<uint16_t>(bits));
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(BF16ToFloat(FloatToBF16(value))));
    } else {
      EXPECT_EQ(FloatToBF16(value), bits);
    }
  }
  EXPECT_EQ(BF16ToFloat(FloatToBF16(1.0f + 1.0f / 256)), 1.0f);
  EXPECT_EQ(BF16ToFloat(FloatToBF16(1.0f + 3.0f / 256)), 1.0f + 2.0f / 128);
}

TEST(FindNotFinite, AgreesWithEveryBitPatternOfTheHalfFormats) {
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    for (uint32_t bits = 0; bits < 65536; ++bits) {
      // In company whose carries would reach it if they went anywhere.
      const uint16_t elements[] = {0xfbff, 0x7b7f, static_cast<uint16_t>(bits), 0xfb7f, 0x7b7f};
      const float value = dtype == DType::kF16 ? F16ToFloat(elements[2]) : BF16ToFloat(elements[2]);
      const std::optional<int64_t> expected = std::isfinite(value) ? std::nullopt : std::optional<int64_t>(2);
      EXPECT_EQ(FindNotFinite(elements, dtype, 5), expected) << DTypeName(dtype) << " " << bits;
    }
  }
}

TEST(FindNotFinite, FindsTheFirstOfF32) {
  constexpr float kLargest = std::numeric_limits<float>::max();
  for (const float bad : {INFINITY, -INFINITY, std::numeric_limits<float>::quiet_NaN(), -NAN}) {
    std::vector<float> elements = {0.0f, -0.0f, kLargest, -kLargest, std::numeric_limits<float>::denorm_min()};
    EXPECT_EQ(FindNotFinite(elements.data(), DType::kF32, 5), std::nullopt);
    elements.push_back(bad);
    EXPECT_EQ(FindNotFinite(elements.data(), DType::kF32, 6), 5);
    EXPECT_EQ(FindNotFinite(elements.data(), DType::kF32, 5), std::nullopt);
  }
}

TEST(FindNotFinite, AtEveryPositionOfEveryLength) {
  EXPECT_EQ(FindNotFinite(nullptr, DType::kBF16, 0), std::nullopt);
  for (const int64_t count : {1, 2, 3, 4, 5, 2047, 2048, 2049, 4099}) {
    // One more behind the end, which must not be looked at, and an odd start.
    std::vector<uint16_t> elements(static_cast<size_t>(count) + 2, 0x3f80);
    elements.back() = 0x7f80;
    for (int64_t bad = 0; bad < count; bad += count < 10 ? 1 : 97) {
      elements[static_cast<size_t>(bad) + 1] = 0xffc0;
      EXPECT_EQ(FindNotFinite(elements.data() + 1, DType::kBF16, count), bad) << count;
      elements[static_cast<size_t>(bad) + 1] = 0x3f80;
    }
    EXPECT_EQ(FindNotFinite(elements.data() + 1, DType::kBF16, count), std::nullopt) << count;
  }
}

TEST(Shape, CountsElementsAndRefusesOverflow) {
  EXPECT_EQ((Shape{2, 3, 4}).Elements(), 24);
  EXPECT_EQ(Shape{}.Elements(), 1);
  EXPECT_EQ((Shape{0, 5}).Elements(), 0);
  EXPECT_EQ((Shape{-1, 5}).Elements(), std::nullopt);
  EXPECT_EQ((Shape{int64_t{1} << 40, int64_t{1} << 40}).Elements(), std::nullopt);
  EXPECT_EQ((Shape{2, 3}).ToString(), "[2, 3]");
}

}  // namespace
}  // namespace qnext
