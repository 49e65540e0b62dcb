#include <gtest/gtest.h>

#include <cmath>
#include <limits>

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
