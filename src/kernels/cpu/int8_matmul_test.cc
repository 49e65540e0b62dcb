// The int8 products of every path against float64 and the reference, against each other, and against themselves in
// other batches. Bound: integer dot products are exact; a term meets at most one sum per run of its group (4), then one
// per group, and the product of the weight's scale: gamma(groups + 5) * sum |x'| |w| (matmul_problems.h).
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <optional>

#include "compare.h"
#include "kernels/cpu/matmul_problems.h"
#include "quant/int8_matrix.h"

namespace qnext {
namespace {

size_t Index(int64_t i) { return static_cast<size_t>(i); }

class Problem {
 public:
  Problem(int64_t in, int64_t out, int64_t rows, uint64_t seed)
      : rows_(rows), x_(RandomActivations(rows * in, seed)), weights_(RandomActivations(out * in, seed + 1)) {
    const Int8Layout layout{.out = out, .in = in};
    bytes_ = AlignedBuffer<std::byte>(layout.bytes());
    EXPECT_TRUE(PackInt8(weights_.data(), DType::kF32, layout, bytes_.data()).ok());
    matrix_ = {layout, bytes_.data()};
  }

  int64_t tiles() const { return matrix_.layout.tiles(); }
  int64_t out() const { return matrix_.layout.out; }

  // The float64 product of the quantized weights and activations, and what float32 may differ from it.
  Answer Expected() const { return Sum(Quantize(ReferenceKernels(), rows_), nullptr); }
  // Beside it: half a step of every weight and activation, against the unquantized ones.
  Answer Unquantized() const {
    Answer answer;
    Sum(Quantize(ReferenceKernels(), rows_), &answer);
    return answer;
  }

  std::vector<float> Multiply(const Kernels& kernels, int64_t m, std::span<const Range> parts) const {
    const Quantized q = Quantize(kernels, m);
    const int64_t stride = out() + 3;
    std::vector<float> y(Index(m * stride), kUntouched), dense;
    const Int8MatmulArgs args = {
        .weight = matrix_, .x = q.View(matrix_.layout.in_padded()), .y = y.data(), .m = m, .y_stride = stride};
    for (const Range part : parts) kernels.int8_matmul(args, part);
    for (int64_t row = 0; row < m; ++row) {
      const auto first = y.begin() + row * stride;
      dense.insert(dense.end(), first, first + out());
      for (int64_t k = out(); k < stride; ++k) EXPECT_EQ(first[k], kUntouched) << "written past row " << row;
    }
    return dense;
  }

 private:
  static constexpr float kUntouched = -12345.5f;

  struct Quantized {
    std::vector<int8_t> codes;
    std::vector<float> scales;
    std::vector<int32_t> sums;
    Int8Rows View(int64_t padded) const {
      return {.codes = const_cast<int8_t*>(codes.data()),
              .scales = const_cast<float*>(scales.data()),
              .sums = const_cast<int32_t*>(sums.data()),
              .in_padded = padded};
    }
  };

  Quantized Quantize(const Kernels& kernels, int64_t m) const {
    const int64_t in = matrix_.layout.in, padded = matrix_.layout.in_padded(), runs = padded / kInt4BlockInputs;
    Quantized q;
    q.codes.resize(Index(m * padded), 99);
    q.scales.resize(Index(m * runs), std::numeric_limits<float>::quiet_NaN());
    q.sums.resize(Index(m * runs), 99);
    kernels.quantize_rows(
        {.x = x_.data(), .permutation = nullptr, .out = q.View(padded), .m = m, .in = in, .x_stride = in}, {0, m});
    return q;
  }

  Answer Sum(const Quantized& q, Answer* unquantized) const {
    const int64_t in = matrix_.layout.in, padded = matrix_.layout.in_padded(), runs = padded / kInt4BlockInputs;
    Answer answer;
    for (int64_t row = 0; row < rows_; ++row) {
      for (int64_t o = 0; o < out(); ++o) {
        const int8_t* codes = matrix_.codes(o / 16);
        const float* scales = matrix_.scales(o / 16);
        double sum = 0, magnitude = 0, plain = 0, steps = 0;
        for (int64_t i = 0; i < in; ++i) {
          const double scale_w = static_cast<double>(scales[i / kInt8GroupInputs * 16 + o % 16]);
          const double scale_x = static_cast<double>(q.scales[Index(row * runs + i / kInt4BlockInputs)]);
          const double w = scale_w * codes[(i / 4 * 16 + o % 16) * 4 + i % 4];
          const double x = scale_x * q.codes[Index(row * padded + i)];
          sum += w * x;
          magnitude += std::abs(w * x);
          const double exact_w = static_cast<double>(weights_[Index(o * in + i)]);
          plain += exact_w * static_cast<double>(x_[Index(row * in + i)]);
          steps += std::abs(exact_w) * scale_x / 2 + std::abs(x) * scale_w / 2;
        }
        const double rounding = Gamma(static_cast<double>(matrix_.layout.groups() + 5)) * magnitude;
        answer.y.push_back(static_cast<float>(sum));
        answer.bound.push_back(rounding + std::ldexp(std::abs(sum), -24));
        if (unquantized == nullptr) continue;
        unquantized->y.push_back(static_cast<float>(plain));
        unquantized->bound.push_back(steps * (1 + 1e-4) + rounding + std::ldexp(std::abs(plain), -23));
      }
    }
    return answer;
  }

  int64_t rows_;
  std::vector<float> x_, weights_;
  AlignedBuffer<std::byte> bytes_;
  Int8Matrix matrix_;
};

// Every path, batch size and cut of the tiles.
void CheckProblem(int64_t in, int64_t out, int64_t rows, bool every_batch, uint64_t seed) {
  SCOPED_TRACE(testing::Message() << "in=" << in << " out=" << out << " rows=" << rows << " seed=" << seed);
  const Problem problem(in, out, rows, seed);
  const Answer expected = problem.Expected(), unquantized = problem.Unquantized();
  const std::vector<std::vector<Range>> cuts = Cuts(problem.tiles());
  EXPECT_TRUE(ElementsWithin(problem.Multiply(ReferenceKernels(), rows, cuts[0]), expected.y, expected.bound));
  std::optional<std::vector<float>> any;
  for (const CpuIsa isa : IsasOfThisMachine()) {
    SCOPED_TRACE(CpuIsaName(isa));
    const Kernels& kernels = CpuKernels(isa);
    const std::vector<float> y = problem.Multiply(kernels, rows, cuts[0]);
    EXPECT_TRUE(ElementsWithin(y, expected.y, expected.bound));
    EXPECT_TRUE(ElementsWithin(y, unquantized.y, unquantized.bound));
    EXPECT_TRUE(BitEqual(y, any.value_or(y)));
    any = y;
    for (const std::vector<Range>& cut : cuts) EXPECT_TRUE(BitEqual(problem.Multiply(kernels, rows, cut), y));
    for (int64_t m = 1; m < rows; m += every_batch ? 1 : rows) {
      EXPECT_TRUE(BitEqual(problem.Multiply(kernels, m, cuts[0]), std::vector<float>(y.begin(), y.begin() + m * out)))
          << "m=" << m;
    }
  }
}

TEST(Int8Matmul, RaggedShapes) {
  uint64_t seed = 0;
  for (const int64_t in : {1, 31, 32, 40, 96, 130, 200, 300}) {
    for (const int64_t out : {1, 8, 16, 23, 72}) {
      CheckProblem(in, out, /*rows=*/12, /*every_batch=*/true, ++seed);
      if (testing::Test::HasFailure()) return;
    }
  }
}

TEST(Int8Matmul, RealShapes) {
  CheckProblem(2048, 512, /*rows=*/9, /*every_batch=*/true, 1);
  CheckProblem(4096, 2048, /*rows=*/2, /*every_batch=*/true, 2);
  CheckProblem(2048, 12288, /*rows=*/1, /*every_batch=*/true, 3);
}

TEST(Int8Matmul, ManyRows) {
  uint64_t seed = 100;
  for (const int64_t rows : {16, 33, 46}) {
    for (const int64_t in : {512, 1160}) CheckProblem(in, 40, rows, /*every_batch=*/false, ++seed);
  }
}

// Codes and activations at their extremes: the 16-bit sums of AVX2 must not saturate.
TEST(Int8Matmul, ExtremeCodes) {
  const Int8Layout layout{.out = 16, .in = 128};
  for (const int weight_sign : {1, -1}) {
    for (const int sign : {1, -1}) {
      const std::vector<float> weights(16 * 128, static_cast<float>(127 * weight_sign));
      AlignedBuffer<std::byte> bytes(layout.bytes());
      ASSERT_TRUE(PackInt8(weights.data(), DType::kF32, layout, bytes.data()).ok());
      std::vector<int8_t> codes(128, static_cast<int8_t>(127 * sign));
      std::vector<float> scales(4, 1.0f);
      std::vector<int32_t> sums(4, 32 * 127 * sign);
      for (const CpuIsa isa : IsasOfThisMachine()) {
        std::vector<float> y(16);
        CpuKernels(isa).int8_matmul({.weight = {layout, bytes.data()},
                                     .x = {codes.data(), scales.data(), sums.data(), 128},
                                     .y = y.data(),
                                     .m = 1,
                                     .y_stride = 16},
                                    {0, 1});
        EXPECT_EQ(y, std::vector<float>(16, static_cast<float>(128 * 127 * 127 * sign * weight_sign)))
            << CpuIsaName(isa);
      }
    }
  }
}

}  // namespace
}  // namespace qnext
