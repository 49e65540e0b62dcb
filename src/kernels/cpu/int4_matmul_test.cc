// The int4 products of every path against float64, against each other, and against themselves in other batches.
#include <gtest/gtest.h>

#include <optional>

#include "compare.h"
#include "kernels/cpu/matmul_problems.h"

namespace qnext {
namespace {

std::vector<float> FirstRows(const std::vector<float>& y, int64_t m, int64_t out) {
  return {y.begin(), y.begin() + m * out};
}

// Every path, batch size and cut of the tiles.
void CheckProblem(const RandomGptqOptions& options, int64_t rows, bool every_batch) {
  SCOPED_TRACE(options.ToString() + " rows=" + std::to_string(rows));
  const Int4Problem problem(options, rows);
  const Answer float_answer = problem.ForFloatActivations(), int8_answer = problem.ForInt8Activations();
  const std::vector<double> quantization_bound = problem.QuantizationBound();
  const std::vector<std::vector<Range>> cuts = Cuts(problem.matrix().layout.tiles());
  std::optional<std::vector<float>> fused_f32, any_i8;
  for (const CpuIsa isa : IsasOfThisMachine()) {
    SCOPED_TRACE(CpuIsaName(isa));
    const Kernels& kernels = CpuKernels(isa);
    const std::vector<float> f32 = problem.MultiplyF32(kernels, rows, cuts[0]);
    EXPECT_TRUE(ElementsWithin(f32, float_answer.y, float_answer.bound));
    const std::vector<float> i8 = problem.MultiplyI8(kernels, rows, cuts[0]);
    EXPECT_TRUE(ElementsWithin(i8, int8_answer.y, int8_answer.bound));
    EXPECT_TRUE(ElementsWithin(i8, float_answer.y, quantization_bound));

    // All paths give the same int8 products; all but the generic one the same float products.
    EXPECT_TRUE(BitEqual(i8, any_i8.value_or(i8)));
    any_i8 = i8;
    if (isa != CpuIsa::kGeneric) {
      EXPECT_TRUE(BitEqual(f32, fused_f32.value_or(f32)));
      fused_f32 = f32;
    }

    for (const std::vector<Range>& cut : cuts) {
      EXPECT_TRUE(BitEqual(problem.MultiplyF32(kernels, rows, cut), f32));
      EXPECT_TRUE(BitEqual(problem.MultiplyI8(kernels, rows, cut), i8));
    }
    for (int64_t m = 1; m < rows; m += every_batch ? 1 : rows) {
      EXPECT_TRUE(BitEqual(problem.MultiplyF32(kernels, m, cuts[0]), FirstRows(f32, m, problem.out()))) << "m=" << m;
      EXPECT_TRUE(BitEqual(problem.MultiplyI8(kernels, m, cuts[0]), FirstRows(i8, m, problem.out()))) << "m=" << m;
    }
  }
}

TEST(Int4Matmul, RaggedShapesOfEveryFormat) {
  uint64_t seed = 0;
  for (const int64_t in : {8, 24, 40, 72, 104, 136, 200}) {
    for (const int64_t out : {8, 16, 24, 72}) {
      for (const int64_t group_size : {32, 64, 128, -1}) {
        ++seed;
        RandomGptqOptions options;
        options.in = in;
        options.out = out;
        options.group_size = group_size;
        options.symmetric = seed % 2 == 0;
        options.act_order = seed % 3 == 0;
        options.scale_dtype = seed % 5 < 2 ? DType::kBF16 : DType::kF16;
        options.seed = seed;
        CheckProblem(options, /*rows=*/12, /*every_batch=*/true);
        if (HasFailure()) return;
      }
    }
  }
}

TEST(Int4Matmul, EveryFormatAtOneShape) {
  for (const bool symmetric : {true, false}) {
    for (const bool act_order : {true, false}) {
      for (const DType dtype : {DType::kF16, DType::kBF16}) {
        RandomGptqOptions options;
        options.in = 168;
        options.out = 40;
        options.group_size = 64;
        options.symmetric = symmetric;
        options.act_order = act_order;
        options.scale_dtype = dtype;
        CheckProblem(options, /*rows=*/17, /*every_batch=*/true);
      }
    }
  }
}

TEST(Int4Matmul, RealShapes) {
  struct Case {
    int64_t in, out, group_size;
    bool symmetric;
  };
  for (const Case& c : {Case{2048, 512, 128, true}, Case{512, 2048, 128, true}, Case{2048, 512, 32, true},
                        Case{512, 2048, 32, false}, Case{2048, 12288, 128, true}, Case{4096, 2048, 128, false}}) {
    RandomGptqOptions options;
    options.in = c.in;
    options.out = c.out;
    options.group_size = c.group_size;
    options.symmetric = c.symmetric;
    CheckProblem(options, /*rows=*/2, /*every_batch=*/true);
  }
}

// Full and partial blocks of rows, at one, several and a ragged number of chunks of
// inputs.
TEST(Int4Matmul, ManyRows) {
  uint64_t seed = 100;
  for (const int64_t rows : {16, 33, 46}) {
    for (const int64_t in : {512, 1160, 2048}) {
      for (const int64_t group_size : {32, 64, 128, -1}) {
        ++seed;
        RandomGptqOptions options;
        options.in = in;
        options.out = 40;
        options.group_size = group_size;
        options.symmetric = seed % 2 == 0;
        options.scale_dtype = seed % 3 == 0 ? DType::kBF16 : DType::kF16;
        options.seed = seed;
        CheckProblem(options, rows, /*every_batch=*/false);
        if (HasFailure()) return;
      }
    }
  }
}

// Codes and activations at their extremes: the 16-bit sums of AVX2 must not overflow.
TEST(Int4Matmul, ExtremeCodes) {
  for (const float sign : {1.0f, -1.0f}) {
    RandomGptqOptions options;
    options.in = 128;
    options.symmetric = false;
    RandomGptq gptq(options);
    for (int32_t& word : gptq.qweight) word = -1;  // every code 15
    for (int32_t& word : gptq.qzeros) word = -1;   // every zero point 0
    for (uint16_t& bits : gptq.scales) bits = FloatToF16(1.0f);
    Int4Matrix matrix;
    matrix.layout = Int4LayoutFor(gptq.tensors);
    AlignedBuffer<std::byte> bytes(matrix.layout.bytes());
    PackInt4(gptq.tensors, matrix.layout, {}, {}, bytes.data());
    matrix.data = bytes.data();
    const std::vector<int8_t> codes(128, static_cast<int8_t>(127 * sign));
    const std::vector<float> scales(4, 1.0f);
    std::vector<int32_t> sums(4, static_cast<int32_t>(32 * 127 * sign));
    for (const CpuIsa isa : IsasOfThisMachine()) {
      std::vector<float> y(16);
      const Int8Rows x = {.codes = const_cast<int8_t*>(codes.data()),
                          .scales = const_cast<float*>(scales.data()),
                          .sums = sums.data(),
                          .in_padded = 128};
      CpuKernels(isa).int4_matmul_i8({.weight = matrix, .x = x, .y = y.data(), .m = 1, .y_stride = 16}, {0, 1});
      EXPECT_EQ(y, std::vector<float>(16, 128 * 127 * 15 * sign)) << CpuIsaName(isa);
    }
  }
}

TEST(Int4Matmul, ZeroActivationsGiveZero) {
  RandomGptqOptions options;
  options.in = 72;
  options.symmetric = false;
  const Int4Problem problem(options, 1);
  for (const CpuIsa isa : IsasOfThisMachine()) {
    std::vector<float> x(96), y(16, 1.0f), scales(3);
    std::vector<int8_t> codes(96);
    std::vector<int32_t> sums(3);
    CpuKernels(isa).int4_matmul_f32(
        {.weight = problem.matrix(), .x = x.data(), .y = y.data(), .m = 1, .x_stride = 96, .y_stride = 16}, {0, 1});
    EXPECT_EQ(y, std::vector<float>(16)) << CpuIsaName(isa);
    y.assign(16, 1.0f);
    const Int8Rows quantized = {.codes = codes.data(), .scales = scales.data(), .sums = sums.data(), .in_padded = 96};
    CpuKernels(isa).int4_matmul_i8({.weight = problem.matrix(), .x = quantized, .y = y.data(), .m = 1, .y_stride = 16},
                                   {0, 1});
    EXPECT_EQ(y, std::vector<float>(16)) << CpuIsaName(isa);
  }
}

}  // namespace
}  // namespace qnext
