// The reference products and the preparation of their inputs, against values worked out by hand.
#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "base/aligned_buffer.h"
#include "kernels/kernels_test_util.h"

namespace qnext {
namespace {

using kernels_test::Index;
using kernels_test::Random;

const Kernels& kOps = ReferenceKernels();

TEST(ReferenceDenseMatmul, EveryWeightTypeAndStrides) {
  // y[r][o] = sum_i x[r][i] w[o][i], two rows of x 4 apart, three outputs 5 apart; small integers are exact.
  const std::vector<float> x = {1, 2, 3, 99, -1, 0, 4, 99};
  const std::vector<float> weight = {1, 0, 0, 1, 1, 1, -2, 0.5f, 8};
  std::vector<uint16_t> f16, bf16;
  for (const float w : weight) f16.push_back(FloatToF16(w)), bf16.push_back(FloatToBF16(w));
  const std::vector<std::pair<DType, const void*>> cases = {
      {DType::kF32, weight.data()}, {DType::kF16, f16.data()}, {DType::kBF16, bf16.data()}};
  for (const auto& [dtype, data] : cases) {
    std::vector<float> y(10, 7.0f);
    const DenseMatmulArgs args = {.x = x.data(),
                                  .weight = data,
                                  .dtype = dtype,
                                  .y = y.data(),
                                  .m = 2,
                                  .in = 3,
                                  .out = 3,
                                  .x_stride = 4,
                                  .y_stride = 5};
    ASSERT_EQ(args.items(), 1);
    kOps.dense_matmul(args, {0, 1});
    EXPECT_EQ(y, (std::vector<float>{1, 6, 23, 7, 7, -1, 3, 34, 7, 7})) << DTypeName(dtype);
  }
}

TEST(ReferenceDenseMatmul, ABlockIsSixteenOutputs) {
  std::vector<float> weight(40), y(40, -1.0f);
  for (size_t i = 0; i < weight.size(); ++i) weight[i] = static_cast<float>(i);
  const float x = 2;
  const DenseMatmulArgs args = {.x = &x,
                                .weight = weight.data(),
                                .dtype = DType::kF32,
                                .y = y.data(),
                                .m = 1,
                                .in = 1,
                                .out = 40,
                                .x_stride = 1,
                                .y_stride = 40};
  ASSERT_EQ(args.items(), 3);
  kOps.dense_matmul(args, {1, 3});
  for (size_t i = 0; i < y.size(); ++i) EXPECT_EQ(y[i], i < 16 ? -1 : 2 * static_cast<float>(i)) << i;
}

TEST(ReferenceGatherRows, PermutesAndPads) {
  const std::vector<float> x = {1, 2, 3, 99, 4, 5, 6, 99};
  const std::vector<int32_t> permutation = {2, 0, 1};
  std::vector<float> out(10, 7.0f);
  GatherRowsArgs args = {.x = x.data(),
                         .permutation = permutation.data(),
                         .out = out.data(),
                         .m = 2,
                         .in = 3,
                         .in_padded = 5,
                         .x_stride = 4};
  kOps.gather_rows(args, {0, 2});
  EXPECT_EQ(out, (std::vector<float>{3, 1, 2, 0, 0, 6, 4, 5, 0, 0}));
  args.permutation = nullptr;
  kOps.gather_rows(args, {1, 2});
  EXPECT_EQ(out, (std::vector<float>{3, 1, 2, 0, 0, 4, 5, 6, 0, 0}));
}

TEST(ReferenceQuantizeRows, ScalesRoundingAndPadding) {
  std::vector<float> x(70, 0.0f);  // blocks of 32: one with values, one of zeros, one with 6 inputs
  x[0] = 254, x[1] = -254, x[2] = 5, x[3] = 7, x[4] = -5, x[5] = 1;
  x[64] = -1;
  std::vector<int8_t> codes(96, 99);
  std::vector<float> scales(3, 99.0f);
  std::vector<int32_t> sums(3, 99);
  kOps.quantize_rows({.x = x.data(),
                      .permutation = nullptr,
                      .out = {.codes = codes.data(), .scales = scales.data(), .sums = sums.data(), .in_padded = 96},
                      .m = 1,
                      .in = 70,
                      .x_stride = 70},
                     {0, 1});
  EXPECT_EQ(scales, (std::vector<float>{2, 0, 1 / 127.0f}));
  // 5/2 and 7/2 and 1/2 are ties: to even.
  EXPECT_EQ(std::vector<int8_t>(codes.begin(), codes.begin() + 7), (std::vector<int8_t>{127, -127, 2, 4, -2, 0, 0}));
  EXPECT_EQ(sums, (std::vector<int32_t>{4, 0, -127}));
  for (size_t i = 32; i < 96; ++i) {
    EXPECT_EQ(codes[i], i == 64 ? -127 : 0) << i;
  }
}

TEST(ReferenceQuantizeRows, GathersFirstAndStaysWithinHalfAStep) {
  Random random(2);
  constexpr int64_t kIn = 64;
  const std::vector<float> x = random.Normal(kIn);
  std::vector<int32_t> permutation(kIn);
  for (size_t i = 0; i < permutation.size(); ++i) permutation[i] = static_cast<int32_t>(i * 37 % kIn);
  std::vector<int8_t> codes(kIn);
  std::vector<float> scales(2);
  std::vector<int32_t> sums(2);
  kOps.quantize_rows({.x = x.data(),
                      .permutation = permutation.data(),
                      .out = {.codes = codes.data(), .scales = scales.data(), .sums = sums.data(), .in_padded = kIn},
                      .m = 1,
                      .in = kIn,
                      .x_stride = kIn},
                     {0, 1});
  for (size_t p = 0; p < Index(kIn); ++p) {
    const float scale = scales[p / 32];
    EXPECT_NEAR(x[static_cast<size_t>(permutation[p])], scale * static_cast<float>(codes[p]), 0.50001 * scale) << p;
  }
}

// A packed matrix written element by element from the byte table of quant/int4_matrix.h.
struct PackedInt4 {
  PackedInt4(int64_t out, int64_t in, int64_t group_size, bool has_zeros, DType scale_dtype)
      : layout{.out = out, .in = in, .group_size = group_size, .has_zeros = has_zeros, .scale_dtype = scale_dtype},
        bytes(layout.bytes()) {
    for (int64_t o = 0; o < layout.tiles() * 16; ++o) {
      for (int64_t i = 0; i < layout.in_padded(); ++i) SetCode(o, i, 8);
    }
  }
  void SetCode(int64_t o, int64_t i, int code) {
    const int64_t at = o / 16 * layout.code_bytes_per_tile() + (i / 8 * 16 + o % 16) * 4 + i % 4;
    const int shift = i % 8 < 4 ? 0 : 4;
    bytes[at] = (bytes[at] & std::byte(0xf0 >> shift)) | std::byte(code << shift);
  }
  void SetScale(int64_t o, int64_t group, float scale) {
    const uint16_t bits = layout.scale_dtype == DType::kF16 ? FloatToF16(scale) : FloatToBF16(scale);
    const int64_t at = layout.scales_offset() + 2 * ((o / 16 * layout.groups() + group) * 16 + o % 16);
    std::memcpy(bytes.data() + at, &bits, 2);
  }
  void SetZero(int64_t o, int64_t group, int zero) {
    bytes[layout.zeros_offset() + (o / 16 * layout.groups() + group) * 16 + o % 16] = std::byte(zero);
  }
  Int4Matrix matrix() const { return {layout, bytes.data()}; }

  Int4Layout layout;
  AlignedBuffer<std::byte> bytes;
};

// 18 outputs, 72 inputs in groups of 64: two tiles, padding, a ragged last group.
struct Int4Case {
  Int4Case(bool has_zeros, DType scale_dtype) : packed(18, 72, 64, has_zeros, scale_dtype), weight(18 * 72) {
    Random random(3);
    for (int64_t o = 0; o < 18; ++o) {
      for (int64_t group = 0; group < 2; ++group) {
        const float scale = static_cast<float>(o + 1) * (group == 0 ? 0.25f : -0.5f);
        const int zero = has_zeros ? static_cast<int>((o + group) % 16) : 8;
        packed.SetScale(o, group, scale);
        if (has_zeros) packed.SetZero(o, group, zero);
        for (int64_t i = group * 64; i < std::min<int64_t>(72, (group + 1) * 64); ++i) {
          const int code = static_cast<int>(random.Uniform(0, 15.99));
          packed.SetCode(o, i, code);
          weight[Index(o * 72 + i)] = static_cast<double>(scale) * (code - zero);
        }
      }
    }
  }
  PackedInt4 packed;
  std::vector<double> weight;
};

TEST(ReferenceInt4Matmul, Float32ActivationsMatchTheDequantizedWeights) {
  for (const bool has_zeros : {false, true}) {
    for (const DType dtype : {DType::kF16, DType::kBF16}) {
      const Int4Case c(has_zeros, dtype);
      Random random(4);
      std::vector<float> x = random.Normal(2 * 100), y(2 * 20, 7.0f);
      const Int4MatmulF32Args args = {
          .weight = c.packed.matrix(), .x = x.data(), .y = y.data(), .m = 2, .x_stride = 100, .y_stride = 20};
      ASSERT_EQ(args.items(), 2);
      kOps.int4_matmul_f32(args, {0, 2});
      for (int64_t row = 0; row < 2; ++row) {
        for (int64_t o = 0; o < 18; ++o) {
          double expected = 0;
          for (int64_t i = 0; i < 72; ++i) expected += c.weight[Index(o * 72 + i)] * x[Index(row * 100 + i)];
          EXPECT_FLOAT_EQ(y[Index(row * 20 + o)], static_cast<float>(expected)) << row << " " << o;
        }
        EXPECT_EQ(y[Index(row * 20 + 18)], 7.0f);
      }
    }
  }
}

TEST(ReferenceInt4Matmul, Int8ActivationsMatchTheirOwnValues) {
  for (const bool has_zeros : {false, true}) {
    const Int4Case c(has_zeros, DType::kF16);
    Random random(5);
    const std::vector<float> x = random.Normal(2 * 72);
    std::vector<int8_t> codes(2 * 96);
    std::vector<float> scales(2 * 3), y(2 * 18);
    std::vector<int32_t> sums(2 * 3);
    const Int8Rows rows = {.codes = codes.data(), .scales = scales.data(), .sums = sums.data(), .in_padded = 96};
    kOps.quantize_rows({.x = x.data(), .permutation = nullptr, .out = rows, .m = 2, .in = 72, .x_stride = 72}, {0, 2});
    kOps.int4_matmul_i8({.weight = c.packed.matrix(), .x = rows, .y = y.data(), .m = 2, .y_stride = 18}, {0, 2});
    for (int64_t row = 0; row < 2; ++row) {
      for (int64_t o = 0; o < 18; ++o) {
        double of_codes = 0, of_x = 0, step = 0;
        for (int64_t i = 0; i < 72; ++i) {
          const double w = c.weight[Index(o * 72 + i)], scale = scales[Index(row * 3 + i / 32)];
          of_codes += w * scale * codes[Index(row * 96 + i)];
          of_x += w * x[Index(row * 72 + i)];
          step += std::abs(w) * scale / 2;
        }
        EXPECT_FLOAT_EQ(y[Index(row * 18 + o)], static_cast<float>(of_codes)) << row << " " << o;
        // The bound of docs/numerics.md between int8 and unquantized activations.
        EXPECT_NEAR(y[Index(row * 18 + o)], of_x, 1.001 * step) << row << " " << o;
      }
    }
  }
}

}  // namespace
}  // namespace qnext
