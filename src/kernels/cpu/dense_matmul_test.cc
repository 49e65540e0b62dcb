// The dense products of every path against float64 and against themselves in other batches.
#include <gtest/gtest.h>

#include "compare.h"
#include "kernels/cpu/matmul_problems.h"

namespace qnext {
namespace {

void CheckProblem(int64_t in, int64_t out, int64_t rows, DType dtype, bool every_batch) {
  SCOPED_TRACE("in=" + std::to_string(in) + " out=" + std::to_string(out) + " " + std::string(DTypeName(dtype)));
  const DenseProblem problem(in, out, rows, dtype, static_cast<uint64_t>(in * 1000 + out));
  const Answer answer = problem.ForFloatActivations();
  const std::vector<std::vector<Range>> cuts = Cuts(CeilDiv(out, kDenseBlockRows));
  for (const CpuIsa isa : IsasOfThisMachine()) {
    SCOPED_TRACE(CpuIsaName(isa));
    const Kernels& kernels = CpuKernels(isa);
    const std::vector<float> y = problem.Multiply(kernels, rows, cuts[0]);
    EXPECT_TRUE(ElementsWithin(y, answer.y, answer.bound));
    for (const std::vector<Range>& cut : cuts) EXPECT_TRUE(BitEqual(problem.Multiply(kernels, rows, cut), y));
    for (int64_t m = 1; m < rows; m += every_batch ? 1 : rows) {
      const std::vector<float> first(y.begin(), y.begin() + m * out);
      EXPECT_TRUE(BitEqual(problem.Multiply(kernels, m, cuts[0]), first)) << "m=" << m;
    }
  }
}

TEST(DenseMatmul, RaggedShapes) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (const int64_t in : {1, 3, 8, 15, 16, 17, 31, 40, 72, 200}) {
      for (const int64_t out : {1, 2, 7, 16, 19, 33, 72}) {
        CheckProblem(in, out, /*rows=*/13, dtype, /*every_batch=*/true);
        if (HasFailure()) return;
      }
    }
  }
}

// More rows than pass through the weights at once.
TEST(DenseMatmul, ManyRows) { CheckProblem(40, 20, /*rows=*/103, DType::kBF16, /*every_batch=*/true); }

TEST(DenseMatmul, RealShapes) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (const int64_t out : {1, 64, 512}) CheckProblem(2048, out, /*rows=*/3, dtype, /*every_batch=*/true);
  }
  CheckProblem(2048, 8192, /*rows=*/2, DType::kBF16, /*every_batch=*/true);
  CheckProblem(256, 4160, /*rows=*/2, DType::kF16, /*every_batch=*/true);
}

// Subnormal, largest and signed-zero weights widen exactly.
TEST(DenseMatmul, SpecialHalves) {
  const std::vector<uint16_t> bits = {0x0001, 0x8001, 0x03ff, 0x0400, 0x7bff, 0xfbff, 0x8000, 0x3c00};
  for (const CpuIsa isa : IsasOfThisMachine()) {
    for (const DType dtype : {DType::kF16, DType::kBF16}) {
      for (size_t i = 0; i < bits.size(); ++i) {
        std::vector<float> x(bits.size()), y(1);
        x[i] = 1;
        const auto size = static_cast<int64_t>(bits.size());
        CpuKernels(isa).dense_matmul({.x = x.data(),
                                      .weight = bits.data(),
                                      .dtype = dtype,
                                      .y = y.data(),
                                      .m = 1,
                                      .in = size,
                                      .out = 1,
                                      .x_stride = size,
                                      .y_stride = 1},
                                     {0, 1});
        EXPECT_EQ(y[0], dtype == DType::kF16 ? F16ToFloat(bits[i]) : BF16ToFloat(bits[i])) << CpuIsaName(isa) << i;
      }
    }
  }
}

}  // namespace
}  // namespace qnext
