// DeltaNet's output norm on the GPU against the reference.
#include <gtest/gtest.h>

#include <cmath>

#include "compare.h"
#include "kernels/cuda/cuda_test_util.h"
#include "kernels/cuda/row_ops.h"
#include "kernels/kernels_test_util.h"

namespace qnext {
namespace {

using namespace kernels_test;  // NOLINT: the helpers of this folder's tests
using cuda_test::DeviceArray;

class CudaGatedNorm : public cuda_test::CudaTest {};

struct Shape {
  int64_t m, key_heads, value_heads, head_dim;
};

TEST_F(CudaGatedNorm, AgreesWithTheReferenceAndQuantizesIt) {
  Random random(1800);
  for (const Shape& s : {Shape{1, 16, 32, 128}, Shape{8, 16, 32, 128}, Shape{70, 2, 4, 128}, Shape{3, 1, 5, 32},
                         Shape{2, 3, 3, 96}, Shape{5, 2, 6, 256}}) {
    SCOPED_TRACE(::testing::Message() << "m " << s.m << " H " << s.value_heads << " S " << s.head_dim);
    const int64_t width = s.value_heads * s.head_dim;
    const std::vector<float> o = random.Normal(s.m * width), weight = random.Normal(s.head_dim);
    const int64_t qkvz_width = 2 * (s.key_heads + s.value_heads) * s.head_dim;
    const std::vector<float> qkvz = random.Normal(s.m * qkvz_width, 4);
    std::vector<float> expected(o.size());
    const GatedRmsNormArgs reference = {.o = o.data(),
                                        .qkvz = qkvz.data(),
                                        .weight = weight.data(),
                                        .out = expected.data(),
                                        .key_heads = s.key_heads,
                                        .value_heads = s.value_heads,
                                        .head_dim = s.head_dim,
                                        .eps = 1e-6f};
    ReferenceKernels().gated_rms_norm(reference, {0, s.m});
    std::vector<double> bounds;
    for (const float y : expected) {
      bounds.push_back(Gamma(static_cast<double>(s.head_dim) / 2 + 16) * std::abs(static_cast<double>(y)) + 1e-36);
    }

    const int64_t padded = RoundUp(width, 128) + 128;
    DeviceArray<float> d_o(o), d_qkvz(qkvz), d_weight(weight);
    struct Outputs {
      std::vector<float> out;
      std::vector<int8_t> codes;
      std::vector<float> scales;
      std::vector<int32_t> sums;
    };
    const auto run = [&](int64_t first, int64_t m) {
      DeviceArray<float> out(m * width), scales(m * padded / 32);
      DeviceArray<int8_t> codes(m * padded);
      DeviceArray<int32_t> sums(m * padded / 32);
      const cuda::GatedNormArgs args = {.o = d_o.get() + first * width,
                                        .qkvz = d_qkvz.get() + first * qkvz_width,
                                        .weight = d_weight.get(),
                                        .out = out.get(),
                                        .quantized = {codes.get(), scales.get(), sums.get(), padded},
                                        .m = m,
                                        .key_heads = s.key_heads,
                                        .value_heads = s.value_heads,
                                        .head_dim = s.head_dim,
                                        .eps = 1e-6f};
      EXPECT_TRUE(cuda_test::IsOk(cuda::LaunchGatedNorm(args, nullptr)));
      EXPECT_TRUE(cuda_test::Synchronized());
      EXPECT_TRUE(out.GuardsIntact() && scales.GuardsIntact() && codes.GuardsIntact() && sums.GuardsIntact());
      return Outputs{out.Download(), codes.Download(), scales.Download(), sums.Download()};
    };
    const Outputs all = run(0, s.m);
    EXPECT_TRUE(ElementsWithin(all.out, expected, bounds));

    Outputs quantized = {.codes = std::vector<int8_t>(all.codes.size()),
                         .scales = std::vector<float>(all.scales.size()),
                         .sums = std::vector<int32_t>(all.sums.size())};
    const QuantizeRowsArgs quantize = {
        .x = all.out.data(),
        .permutation = nullptr,
        .out = {quantized.codes.data(), quantized.scales.data(), quantized.sums.data(), padded},
        .m = s.m,
        .in = width,
        .x_stride = width};
    ReferenceKernels().quantize_rows(quantize, {0, s.m});
    EXPECT_TRUE(BitEqual<int8_t>(all.codes, quantized.codes));
    EXPECT_TRUE(BitEqual<float>(all.scales, quantized.scales));
    EXPECT_TRUE(BitEqual<int32_t>(all.sums, quantized.sums));

    for (int64_t row = 0; row < s.m; ++row) {  // alone: the same bits
      const Outputs one = run(row, 1);
      EXPECT_TRUE(BitEqual<float>(one.out, std::span(all.out).subspan(Index(row * width), Index(width)))) << row;
      EXPECT_TRUE(BitEqual<int8_t>(one.codes, std::span(all.codes).subspan(Index(row * padded), Index(padded)))) << row;
    }
  }
}

TEST(CudaGatedNormChecks, RefusesShapesThatNoKernelTakes) {
  cuda::GatedNormArgs args = {.m = 1, .key_heads = 1, .value_heads = 1, .head_dim = 48};
  EXPECT_EQ(cuda::LaunchGatedNorm(args, nullptr).code(), StatusCode::kUnsupported);
  args.head_dim = 288;
  EXPECT_EQ(cuda::LaunchGatedNorm(args, nullptr).code(), StatusCode::kUnsupported);
}

}  // namespace
}  // namespace qnext
