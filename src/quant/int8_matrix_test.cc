#include "quant/int8_matrix.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "base/aligned_buffer.h"

namespace qnext {
namespace {

Int8Layout Layout(int64_t out, int64_t in) { return {.out = out, .in = in}; }

struct Packed {
  Packed(const void* weight, DType dtype, const Int8Layout& shape) : layout(shape), bytes(shape.bytes()) {
    std::memset(bytes.data(), 0xcd, static_cast<size_t>(bytes.size()));  // PackInt8 must write every byte
    status = PackInt8(weight, dtype, layout, bytes.data());
  }
  Int8Matrix matrix() const { return {layout, bytes.data()}; }

  Int8Layout layout;
  AlignedBuffer<std::byte> bytes;
  Status status;
};

// Weights whose size differs from group to group, a group of zeros among them.
std::vector<float> RandomWeights(int64_t out, int64_t in) {
  std::mt19937_64 random(static_cast<uint64_t>(out * 1000 + in));
  std::normal_distribution<float> normal;
  std::vector<float> weights(static_cast<size_t>(out * in));
  for (int64_t i = 0; i < out * in; ++i) {
    const int64_t group = i / in * 7 + i % in / kInt8GroupInputs;
    weights[static_cast<size_t>(i)] = group % 5 == 3 ? 0.0f : std::ldexp(normal(random), static_cast<int>(group % 9));
  }
  return weights;
}

TEST(Int8Matrix, DequantizedWeightsAreWithinHalfAStep) {
  for (const int64_t in : {1, 31, 32, 40, 128, 130, 300, 512}) {
    for (const int64_t out : {1, 15, 16, 17, 40}) {
      for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
        SCOPED_TRACE(testing::Message() << out << "x" << in << " " << DTypeName(dtype));
        std::vector<float> weights = RandomWeights(out, in);
        std::vector<uint16_t> halves;
        for (float& w : weights) {
          if (dtype == DType::kF32) continue;
          halves.push_back(dtype == DType::kF16 ? FloatToF16(w) : FloatToBF16(w));
          w = dtype == DType::kF16 ? F16ToFloat(halves.back()) : BF16ToFloat(halves.back());
        }
        const void* data = dtype == DType::kF32 ? static_cast<const void*>(weights.data()) : halves.data();
        const Packed packed(data, dtype, Layout(out, in));
        ASSERT_TRUE(packed.status.ok()) << packed.status.message();
        const std::vector<float> found = DequantizeInt8(packed.matrix());
        for (int64_t row = 0; row < out; ++row) {
          for (int64_t i = 0; i < in; ++i) {
            float largest = 0;
            const int64_t first = i / kInt8GroupInputs * kInt8GroupInputs;
            for (int64_t j = first; j < std::min(in, first + kInt8GroupInputs); ++j) {
              largest = std::max(largest, std::abs(weights[static_cast<size_t>(row * in + j)]));
            }
            // Half a step; the quotient and the product are rounded once each.
            const double bound = static_cast<double>(largest) / 127 * (0.5 + 127 * std::ldexp(3.0, -24));
            const auto at = static_cast<size_t>(row * in + i);
            ASSERT_LE(std::abs(static_cast<double>(found[at]) - static_cast<double>(weights[at])), bound)
                << row << ", " << i;
          }
        }
      }
    }
  }
}

TEST(Int8Matrix, LiesAsTheByteTableSays) {
  const Int8Layout layout = Layout(17, 130);  // two tiles, a second group of two inputs, padding to 160
  std::vector<float> weights(17 * 130, 1.0f);
  weights[16 * 130 + 129] = -254;  // row 16, input 129
  weights[16 * 130 + 128] = 3;     // 1.5 steps: to even
  const Packed packed(weights.data(), DType::kF32, layout);
  ASSERT_TRUE(packed.status.ok());
  const Int8Matrix matrix = packed.matrix();
  EXPECT_EQ(matrix.scales(1)[16], 2.0f);
  EXPECT_EQ(matrix.scales(1)[0], 1.0f / 127);
  EXPECT_EQ(matrix.codes(1)[(32 * 16 + 0) * 4 + 1], -127);
  EXPECT_EQ(matrix.codes(1)[(32 * 16 + 0) * 4 + 0], 2);
  EXPECT_EQ(matrix.codes(1)[(32 * 16 + 0) * 4 + 2], 0) << "a padding input";
  EXPECT_EQ(matrix.codes(1)[(39 * 16 + 0) * 4 + 3], 0) << "the last padding input";
  for (int64_t group = 0; group < 2; ++group) {
    for (int64_t r = 1; r < 16; ++r) EXPECT_EQ(matrix.scales(1)[group * 16 + r], 0.0f) << "a row past the last";
  }
}

TEST(Int8Matrix, WhatIsNotFiniteIsRefused) {
  for (const float bad : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    std::vector<float> weights(2 * 40, 1.0f);
    weights[40 + 33] = bad;
    const Packed packed(weights.data(), DType::kF32, Layout(2, 40));
    EXPECT_EQ(packed.status.code(), StatusCode::kCorrupt);
    EXPECT_EQ(packed.status.message(), "row 1: an element is not finite");
  }
}

TEST(Int8Matrix, SubnormalWeightsStayInRange) {
  const std::vector<float> weights(32, std::ldexp(1.0f, -149));
  const Packed packed(weights.data(), DType::kF32, Layout(1, 32));
  ASSERT_TRUE(packed.status.ok());
  for (const float w : DequantizeInt8(packed.matrix())) EXPECT_LE(std::abs(w), weights[0] * 127);
}

}  // namespace
}  // namespace qnext
