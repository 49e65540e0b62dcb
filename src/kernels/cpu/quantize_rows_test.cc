// Quantization of activations: every path gives the codes of the plain rule, bit for bit.
#include <gtest/gtest.h>

#include <limits>

#include "kernels/cpu/matmul_problems.h"

namespace qnext {
namespace {

struct Quantized {
  std::vector<int8_t> codes;
  std::vector<float> scales;
  std::vector<int32_t> sums;
};

Quantized Quantize(const Kernels& kernels, const std::vector<float>& x, const int32_t* permutation, int64_t m) {
  const auto in = static_cast<int64_t>(x.size()) / m;
  const int64_t in_padded = RoundUp(in, kInt4BlockInputs), runs = in_padded / kInt4BlockInputs;
  Quantized q;
  q.codes.resize(static_cast<size_t>(m * in_padded), 99);
  q.scales.resize(static_cast<size_t>(m * runs), -1);
  q.sums.resize(static_cast<size_t>(m * runs), 9999);
  const Int8Rows out = {
      .codes = q.codes.data(), .scales = q.scales.data(), .sums = q.sums.data(), .in_padded = in_padded};
  const QuantizeRowsArgs args = {
      .x = x.data(), .permutation = permutation, .out = out, .m = m, .in = in, .x_stride = in};
  for (int64_t row = m - 1; row >= 0; --row) kernels.quantize_rows(args, {row, row + 1});
  return q;
}

TEST(QuantizeRows, EveryPathFollowsTheRule) {
  for (const int64_t in : {8, 32, 40, 200, 512, 2048}) {
    for (const bool act_order : {false, true}) {
      RandomGptqOptions options;
      options.in = in;
      options.out = 8;
      options.act_order = act_order;
      const Int4Problem problem(options, 5);
      const Int4Problem::Quantized expected = problem.Quantize();
      for (const CpuIsa isa : IsasOfThisMachine()) {
        const Quantized q = Quantize(CpuKernels(isa), problem.x(), problem.permutation(), 5);
        EXPECT_EQ(q.codes, expected.codes) << CpuIsaName(isa) << " in=" << in;
        EXPECT_EQ(q.scales, expected.scales) << CpuIsaName(isa) << " in=" << in;
        EXPECT_EQ(q.sums, expected.sums) << CpuIsaName(isa) << " in=" << in;
      }
    }
  }
}

TEST(QuantizeRows, TiesGoToEvenAndExtremesStayInRange) {
  std::vector<float> x(32);
  x[0] = -127;
  for (int i = 1; i < 32; ++i) x[static_cast<size_t>(i)] = static_cast<float>(i) - 16.5f;  // scale 1: all ties
  for (const CpuIsa isa : IsasOfThisMachine()) {
    const Quantized q = Quantize(CpuKernels(isa), x, nullptr, 1);
    EXPECT_EQ(q.scales[0], 1.0f);
    EXPECT_EQ(q.codes[0], -127);
    int sum = -127;
    for (int i = 1; i < 32; ++i) {
      const int even = (i - 17) % 2 == 0 ? i - 17 : i - 16;
      EXPECT_EQ(q.codes[static_cast<size_t>(i)], even) << CpuIsaName(isa) << " " << x[static_cast<size_t>(i)];
      sum += even;
    }
    EXPECT_EQ(q.sums[0], sum) << CpuIsaName(isa);
  }
}

TEST(QuantizeRows, ZerosSubnormalsAndLargestFloats) {
  constexpr float kLeast = std::numeric_limits<float>::denorm_min();
  for (const CpuIsa isa : IsasOfThisMachine()) {
    const auto one_value = [isa](float value) {
      std::vector<float> x(32);
      x[3] = value;
      x[4] = -value;
      return Quantize(CpuKernels(isa), x, nullptr, 1);
    };
    const Quantized zero = one_value(0.0f);
    EXPECT_EQ(zero.scales[0], 0.0f);
    EXPECT_EQ(zero.codes, std::vector<int8_t>(32));
    EXPECT_EQ(zero.sums[0], 0);
    const Quantized too_small = one_value(kLeast * 63);  // the scale rounds to 0
    EXPECT_EQ(too_small.scales[0], 0.0f) << CpuIsaName(isa);
    EXPECT_EQ(too_small.codes, std::vector<int8_t>(32));
    const Quantized coarse = one_value(kLeast * 190);  // the scale rounds down: 190 steps clamp to 127
    EXPECT_EQ(coarse.scales[0], kLeast);
    EXPECT_EQ(coarse.codes[3], 127) << CpuIsaName(isa);
    EXPECT_EQ(coarse.codes[4], -127) << CpuIsaName(isa);
    const Quantized largest = one_value(std::numeric_limits<float>::max());
    EXPECT_EQ(largest.codes[3], 127) << CpuIsaName(isa);
    EXPECT_EQ(largest.codes[4], -127) << CpuIsaName(isa);
    EXPECT_EQ(largest.sums[0], 0) << CpuIsaName(isa);
  }
}

TEST(GatherRows, PermutesAndPads) {
  const std::vector<float> x = {1, 2, 3, 4, 5, 6, 7, 8, -1, -1, 11, 12, 13, 14, 15, 16, 17, 18, -1, -1};
  const std::vector<int32_t> permutation = {7, 0, 6, 1, 5, 2, 4, 3};
  for (const CpuIsa isa : IsasOfThisMachine()) {
    for (const bool permute : {true, false}) {
      std::vector<float> out(64, -9);
      CpuKernels(isa).gather_rows({.x = x.data(),
                                   .permutation = permute ? permutation.data() : nullptr,
                                   .out = out.data(),
                                   .m = 2,
                                   .in = 8,
                                   .in_padded = 32,
                                   .x_stride = 10},
                                  {0, 2});
      for (size_t row = 0; row < 2; ++row) {
        for (size_t p = 0; p < 32; ++p) {
          const size_t source = permute && p < 8 ? static_cast<size_t>(permutation[p]) : p;
          EXPECT_EQ(out[row * 32 + p], p < 8 ? x[row * 10 + source] : 0.0f) << row << " " << p;
        }
      }
    }
  }
}

}  // namespace
}  // namespace qnext
