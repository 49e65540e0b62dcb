// The dense products of the GPU against float64, and against themselves in other batches and launches.
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "compare.h"
#include "kernels/cpu/matmul_problems.h"
#include "kernels/cuda/cuda_test_util.h"
#include "kernels/cuda/product_plan.h"
#include "kernels/cuda/products.h"

namespace qnext::cuda {
namespace {

using cuda_test::DeviceArray;
using cuda_test::DeviceRows;

class CudaDenseProducts : public cuda_test::CudaTest {};

// A lane's multiply-adds, the tree over the lanes, the warps.
double GemvRoundings(int64_t in) {
  const int64_t warps = DenseWarpsPerRow(in);
  return static_cast<double>(8 * CeilDiv(in, warps * kDenseWarpInputs) + 5 + warps);
}
// The order within the matrix units is not known, and a sum there may be cut off rather than rounded: two roundings a
// term. Float32 weights: one multiply-add a term.
double GemmRoundings(int64_t in) { return static_cast<double>(2 * in); }
// Roundings have no direction but where sums are cut off: a whole tensor is closer than its elements need be.
double GemmTypical(int64_t in) { return (static_cast<double>(in) / 4 + 8) * 0x1p-24; }

class DeviceProblem {
 public:
  DeviceProblem(int64_t in, int64_t out, int64_t rows, DType dtype, uint64_t seed, int64_t x_padding)
      : problem_(in, out, rows, dtype, seed),
        weight_(std::span<const std::byte>(static_cast<const std::byte*>(problem_.weight()),
                                           static_cast<size_t>(in * out * DTypeSize(dtype)))),
        x_stride_(in + x_padding),
        x_(Strided(problem_.x(), rows, in, x_stride_)) {}

  const DenseProblem& problem() const { return problem_; }
  DensePart Part(float* y, int64_t y_stride) {
    return {.weight = weight_.get(),
            .dtype = problem_.dtype(),
            .x = x_.get(),
            .y = y,
            .in = problem_.in(),
            .out = problem_.out(),
            .x_stride = x_stride_,
            .y_stride = y_stride};
  }
  std::vector<float> Multiply(int64_t m) {
    DeviceRows y(m, problem_.out());
    const DenseProductsArgs args = {.parts = {Part(y.get(), y.stride())}, .count = 1, .m = m};
    EXPECT_TRUE(cuda_test::IsOk(LaunchDenseProducts(args, nullptr)));
    EXPECT_TRUE(cuda_test::Synchronized());
    return y.Download();
  }
  std::vector<float> FirstRows(const std::vector<float>& y, int64_t m) const {
    return {y.begin(), y.begin() + m * problem_.out()};
  }

 private:
  // What lies between the rows is NaN.
  static std::vector<float> Strided(const std::vector<float>& x, int64_t rows, int64_t in, int64_t stride) {
    std::vector<float> strided(static_cast<size_t>(rows * stride), std::nanf(""));
    for (int64_t r = 0; r < rows; ++r) std::copy_n(x.begin() + r * in, in, strided.begin() + r * stride);
    return strided;
  }

  DenseProblem problem_;
  DeviceArray<std::byte> weight_;
  int64_t x_stride_;
  DeviceArray<float> x_;
};

void CheckProblem(int64_t in, int64_t out, DType dtype, uint64_t seed, int64_t x_padding,
                  const std::vector<int64_t>& few, const std::vector<int64_t>& many) {
  SCOPED_TRACE("in=" + std::to_string(in) + " out=" + std::to_string(out) + " " + std::string(DTypeName(dtype)) +
               " seed=" + std::to_string(seed) + " x_padding=" + std::to_string(x_padding));
  const int64_t rows = many.empty() ? few.back() : many.back();
  DeviceProblem device(in, out, rows, dtype, seed, x_padding);
  if (!few.empty()) {
    const Answer answer = device.problem().ForFloatActivations(GemvRoundings(in));
    const std::vector<float> all = device.Multiply(few.back());
    EXPECT_TRUE(ElementsWithin(all, device.FirstRows(answer.y, few.back()),
                               std::span(answer.bound).first(static_cast<size_t>(few.back() * out))));
    EXPECT_TRUE(BitEqual(device.Multiply(few.back()), all)) << "a second run";
    for (const int64_t m : few) EXPECT_TRUE(BitEqual(device.Multiply(m), device.FirstRows(all, m))) << "m=" << m;
  }
  if (!many.empty()) {
    const Answer answer = device.problem().ForRoundedActivations(GemmRoundings(in));
    const std::vector<float> all = device.Multiply(rows);
    EXPECT_TRUE(ElementsWithin(all, answer.y, answer.bound));
    EXPECT_TRUE(RelativeErrorWithin(all, answer.y, GemmTypical(in)));
    EXPECT_TRUE(BitEqual(device.Multiply(rows), all)) << "a second run";
    for (const int64_t m : many) EXPECT_TRUE(BitEqual(device.Multiply(m), device.FirstRows(all, m))) << "m=" << m;
  }
}

TEST_F(CudaDenseProducts, RaggedShapesOfEveryType) {
  uint64_t seed = 0;
  for (const DType dtype : {DType::kBF16, DType::kF16, DType::kF32}) {
    for (const int64_t in : {1, 7, 8, 36, 100, 255, 256, 264, 600, 1032}) {
      for (const int64_t out : {1, 3, 17, 64, 130}) {
        ++seed;
        CheckProblem(in, out, dtype, seed, static_cast<int64_t>(seed % 5), {1, 2, 3, 4, 5, 6, 7, 8}, {9, 33, 70});
        if (HasFailure()) return;
      }
    }
  }
}

TEST_F(CudaDenseProducts, RealShapes) {
  for (const DType dtype : {DType::kBF16, DType::kF16}) {
    CheckProblem(2048, 512, dtype, 1, 0, {1, 2, 3, 4, 5, 6, 7, 8}, {9, 160});
    CheckProblem(2048, 1, dtype, 2, 0, {1, 8}, {9});
    CheckProblem(4096, 2048, dtype, 3, 0, {1, 8}, {9});
    CheckProblem(512, 2048, dtype, 4, 0, {1, 8}, {33});
  }
  CheckProblem(2048, 12288, DType::kBF16, 5, 0, {1, 2}, {});
  CheckProblem(2048, 512, DType::kF32, 6, 0, {1, 8}, {9, 160});
}

TEST_F(CudaDenseProducts, LongRows) {
  CheckProblem(9000, 20, DType::kBF16, 1, 0, {1, 3, 8}, {9});
  CheckProblem(9001, 20, DType::kF16, 2, 0, {1, 8}, {9});
}

// Parts of one launch, alike and not, give what they give alone.
TEST_F(CudaDenseProducts, PartsGiveWhatTheyGiveAlone) {
  std::vector<std::unique_ptr<DeviceProblem>> problems;
  problems.push_back(std::make_unique<DeviceProblem>(520, 200, 9, DType::kBF16, 1, 0));
  problems.push_back(std::make_unique<DeviceProblem>(520, 1, 9, DType::kBF16, 2, 4));
  problems.push_back(std::make_unique<DeviceProblem>(520, 64, 9, DType::kF32, 3, 0));
  problems.push_back(std::make_unique<DeviceProblem>(264, 130, 9, DType::kBF16, 4, 1));
  for (const int64_t m : {1, 3, 8, 9}) {
    std::vector<std::unique_ptr<DeviceRows>> y;
    DenseProductsArgs args = {.parts = {}, .count = 4, .m = m};
    for (int p = 0; p < 4; ++p) {
      DeviceProblem& problem = *problems[static_cast<size_t>(p)];
      y.push_back(std::make_unique<DeviceRows>(m, problem.problem().out()));
      args.parts[p] = problem.Part(y.back()->get(), y.back()->stride());
    }
    ASSERT_TRUE(cuda_test::IsOk(LaunchDenseProducts(args, nullptr)));
    ASSERT_TRUE(cuda_test::Synchronized());
    for (size_t p = 0; p < 4; ++p) {
      EXPECT_TRUE(BitEqual(y[p]->Download(), problems[p]->Multiply(m))) << "part " << p << " m=" << m;
    }
  }
}

TEST_F(CudaDenseProducts, RefusesWhatItCannotDo) {
  DeviceProblem device(64, 16, 2, DType::kBF16, 1, 0);
  DeviceRows y(2, 16);
  const DenseProductsArgs good = {.parts = {device.Part(y.get(), y.stride())}, .count = 1, .m = 2};
  EXPECT_TRUE(cuda_test::IsOk(LaunchDenseProducts(good, nullptr)));
  DenseProductsArgs args = good;
  args.count = 5;
  EXPECT_EQ(LaunchDenseProducts(args, nullptr).code(), StatusCode::kInvalidArgument);
  args = good;
  args.parts[0].dtype = DType::kI8;
  EXPECT_EQ(LaunchDenseProducts(args, nullptr).code(), StatusCode::kInvalidArgument);
  args = good;
  args.parts[0].weight = static_cast<const std::byte*>(args.parts[0].weight) + 2;
  EXPECT_EQ(LaunchDenseProducts(args, nullptr).code(), StatusCode::kInvalidArgument);
  args = good;
  args.parts[0].x_stride = 63;
  EXPECT_EQ(LaunchDenseProducts(args, nullptr).code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(cuda_test::Synchronized());
}

}  // namespace
}  // namespace qnext::cuda
