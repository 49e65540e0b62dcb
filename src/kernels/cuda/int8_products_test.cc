// The int8 products of the GPU against float64 on equal int8 activations, and against themselves in other batches.
#include <gtest/gtest.h>

#include <cmath>
#include <random>
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

size_t Index(int64_t i) { return static_cast<size_t>(i); }

class CudaInt8Products : public cuda_test::CudaTest {};

// Random codes and scales laid out as quant/int8_matrix.h says, and activation rows; on both sides.
class Problem {
 public:
  Problem(int64_t in, int64_t out, int64_t rows, uint64_t seed)
      : rows_(rows), layout_(MakeLayout(in, out)), bytes_(Index(layout_.bytes())) {
    std::mt19937_64 random(seed);
    std::uniform_real_distribution<float> scale(0.0005f, 0.002f);
    const int64_t padded = layout_.in_padded(), runs = padded / kInt4BlockInputs;
    auto* scales = reinterpret_cast<float*>(bytes_.data() + layout_.scales_offset());
    for (int64_t o = 0; o < out; ++o) {
      const int64_t tile = o / 16, r = o % 16;
      for (int64_t i = 0; i < in; ++i) {
        const int code = static_cast<int>(random() % 255) - 127;
        bytes_[Index(((tile * (padded / 4) + i / 4) * 16 + r) * 4 + i % 4)] = static_cast<std::byte>(code);
      }
      for (int64_t g = 0; g < layout_.groups(); ++g) scales[(tile * layout_.groups() + g) * 16 + r] = scale(random);
    }
    codes_.resize(Index(rows * padded));
    scales_.resize(Index(rows * runs));
    sums_.resize(Index(rows * runs));
    const std::vector<float> x = RandomActivations(rows * in, seed + 1);
    ReferenceKernels().quantize_rows({.x = x.data(),
                                      .permutation = nullptr,
                                      .out = {codes_.data(), scales_.data(), sums_.data(), padded},
                                      .m = rows,
                                      .in = in,
                                      .x_stride = in},
                                     {0, rows});
    weight_ = std::make_unique<DeviceArray<std::byte>>(bytes_);
    device_codes_ = std::make_unique<DeviceArray<int8_t>>(codes_);
    device_scales_ = std::make_unique<DeviceArray<float>>(scales_);
  }

  int64_t out() const { return layout_.out; }
  // As for int4, with a part of the sums for each quad.
  Answer Expected() const {
    const RunSlices slices = SliceRuns(layout_.in_padded());
    const double roundings = 5 + slices.per_slice / 4 + slices.count;
    const int64_t padded = layout_.in_padded(), runs = padded / kInt4BlockInputs;
    const auto* scales = reinterpret_cast<const float*>(bytes_.data() + layout_.scales_offset());
    Answer answer;
    for (int64_t row = 0; row < rows_; ++row) {
      for (int64_t o = 0; o < layout_.out; ++o) {
        double sum = 0, magnitude = 0;
        for (int64_t i = 0; i < layout_.in; ++i) {
          const auto code =
              static_cast<int8_t>(bytes_[Index(((o / 16 * (padded / 4) + i / 4) * 16 + o % 16) * 4 + i % 4)]);
          const double weight = static_cast<double>(scales[(o / 16 * layout_.groups() + i / 128) * 16 + o % 16]) * code;
          const double term = weight * static_cast<double>(scales_[Index(row * runs + i / kInt4BlockInputs)]) *
                              codes_[Index(row * padded + i)];
          sum += term;
          magnitude += std::abs(term);
        }
        answer.y.push_back(static_cast<float>(sum));
        answer.bound.push_back(Gamma(roundings) * magnitude + std::ldexp(std::abs(sum), -24));
      }
    }
    return answer;
  }

  Int8Part Part(float* y, int64_t y_stride) {
    return {.weight = {layout_, weight_->get()},
            .x = {device_codes_->get(), device_scales_->get(), nullptr, layout_.in_padded()},
            .y = y,
            .y_stride = y_stride};
  }
  std::vector<float> Multiply(int64_t m) {
    DeviceRows y(m, out());
    const Int8ProductsArgs args = {.parts = {Part(y.get(), y.stride())}, .count = 1, .m = m};
    EXPECT_TRUE(cuda_test::IsOk(LaunchInt8Products(args, nullptr)));
    EXPECT_TRUE(cuda_test::Synchronized());
    return y.Download();
  }

 private:
  static Int8Layout MakeLayout(int64_t in, int64_t out) {
    Int8Layout layout;
    layout.out = out;
    layout.in = in;
    return layout;
  }

  int64_t rows_;
  Int8Layout layout_;
  std::vector<std::byte> bytes_;
  std::vector<int8_t> codes_;
  std::vector<float> scales_;
  std::vector<int32_t> sums_;
  std::unique_ptr<DeviceArray<std::byte>> weight_;
  std::unique_ptr<DeviceArray<int8_t>> device_codes_;
  std::unique_ptr<DeviceArray<float>> device_scales_;
};

void CheckProblem(int64_t in, int64_t out, const std::vector<int64_t>& batches, uint64_t seed) {
  SCOPED_TRACE("in=" + std::to_string(in) + " out=" + std::to_string(out) + " seed=" + std::to_string(seed));
  Problem problem(in, out, batches.back(), seed);
  const Answer answer = problem.Expected();
  const std::vector<float> all = problem.Multiply(batches.back());
  EXPECT_TRUE(ElementsWithin(all, answer.y, answer.bound));
  EXPECT_TRUE(BitEqual(problem.Multiply(batches.back()), all)) << "a second run";
  for (const int64_t m : batches) {
    EXPECT_TRUE(BitEqual(problem.Multiply(m), std::vector<float>(all.begin(), all.begin() + m * out))) << "m=" << m;
  }
}

TEST_F(CudaInt8Products, RaggedShapes) {
  uint64_t seed = 0;
  for (const int64_t in : {1, 31, 32, 40, 130, 200, 520, 1000}) {
    for (const int64_t out : {1, 8, 16, 23, 136}) {
      CheckProblem(in, out, {1, 2, 3, 4, 5, 6, 7, 8, 9, 33}, ++seed);
      if (HasFailure()) return;
    }
  }
}

TEST_F(CudaInt8Products, RealShapes) {
  CheckProblem(2048, 512, {1, 2, 3, 4, 5, 6, 7, 8, 9, 33, 160}, 1);
  CheckProblem(4096, 2048, {1, 8, 9}, 2);
  CheckProblem(2048, 12288, {1, 2}, 3);
}

// Codes and activations at their extremes: the sums must stay within what the float trick holds.
TEST_F(CudaInt8Products, ExtremeCodes) {
  Int8Layout layout;
  layout.out = 16;
  layout.in = 128;
  for (const int sign : {1, -1}) {
    std::vector<std::byte> bytes(Index(layout.bytes()));
    std::fill_n(bytes.begin(), 16 * 128, static_cast<std::byte>(127 * sign));
    std::fill_n(reinterpret_cast<float*>(bytes.data() + layout.scales_offset()), 16, 1.0f);
    const DeviceArray<std::byte> weight(bytes);
    DeviceArray<int8_t> codes(std::vector<int8_t>(9 * 128, 127));
    DeviceArray<float> scales(std::vector<float>(9 * 4, 1.0f));
    for (const int64_t m : {1, 8, 9}) {
      DeviceRows y(m, 16);
      const Int8ProductsArgs args = {.parts = {{.weight = {layout, weight.get()},
                                                .x = {codes.get(), scales.get(), nullptr, 128},
                                                .y = y.get(),
                                                .y_stride = y.stride()}},
                                     .count = 1,
                                     .m = m};
      ASSERT_TRUE(cuda_test::IsOk(LaunchInt8Products(args, nullptr)));
      ASSERT_TRUE(cuda_test::Synchronized());
      EXPECT_EQ(y.Download(), std::vector<float>(Index(m * 16), static_cast<float>(128 * 127 * 127 * sign)));
    }
  }
}

}  // namespace
}  // namespace qnext::cuda
