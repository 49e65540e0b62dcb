// The row-wise kernels against the scalar reference (kernels/reference) within the bounds of docs/numerics.md, and
// against themselves.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "compare.h"
#include "kernels/cpu/matmul_problems.h"
#include "kernels/cuda/cuda_test_util.h"
#include "kernels/cuda/row_ops.h"

namespace qnext::cuda {
namespace {

using cuda_test::DeviceArray;
using cuda_test::IsOk;
using cuda_test::Synchronized;

constexpr double kUnit = 0x1p-24;
constexpr float kEps = 1e-6f;

size_t Index(int64_t i) { return static_cast<size_t>(i); }

class CudaRowOps : public cuda_test::CudaTest {};

// int8 rows on the device, and their plain form on the host.
class DeviceInt8Rows {
 public:
  DeviceInt8Rows(int64_t m, int64_t in)
      : m_(m),
        padded_(RoundUp(in, kInt4BlockInputs)),
        codes_(m * padded_),
        scales_(m * padded_ / 32),
        sums_(m * padded_ / 32) {}

  Int8Rows view() { return {codes_.get(), scales_.get(), sums_.get(), padded_}; }
  int64_t padded() const { return padded_; }

  // What the host's reference makes of the floats x [m, in] must be here bit for bit.
  void ExpectQuantized(const std::vector<float>& x, int64_t in, const int32_t* permutation = nullptr) {
    std::vector<int8_t> codes(Index(m_ * padded_));
    std::vector<float> scales(Index(m_ * padded_ / 32));
    std::vector<int32_t> sums(scales.size());
    ReferenceKernels().quantize_rows({.x = x.data(),
                                      .permutation = permutation,
                                      .out = {codes.data(), scales.data(), sums.data(), padded_},
                                      .m = m_,
                                      .in = in,
                                      .x_stride = in},
                                     {0, m_});
    EXPECT_TRUE(codes_.GuardsIntact() && scales_.GuardsIntact() && sums_.GuardsIntact());
    EXPECT_EQ(codes_.Download(), codes);
    EXPECT_TRUE(BitEqual(scales_.Download(), scales));
    EXPECT_EQ(sums_.Download(), sums);
  }

 private:
  int64_t m_, padded_;
  DeviceArray<int8_t> codes_;
  DeviceArray<float> scales_;
  DeviceArray<int32_t> sums_;
};

TEST_F(CudaRowOps, EmbeddedRowsAreThoseOfTheTable) {
  for (const int64_t dim : {1, 33, 256, 2048}) {
    for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
      const std::vector<float> table = RandomActivations(50 * dim, 3);
      std::vector<uint16_t> halves;
      std::vector<float> stored;
      for (const float value : table) {
        halves.push_back(dtype == DType::kF16 ? FloatToF16(value) : FloatToBF16(value));
        stored.push_back(dtype == DType::kF32   ? value
                         : dtype == DType::kF16 ? F16ToFloat(halves.back())
                                                : BF16ToFloat(halves.back()));
      }
      const DeviceArray<float> floats(table);
      const DeviceArray<uint16_t> bits(halves);
      const std::vector<int32_t> ids = {49, 0, 7, 7, 13};
      const DeviceArray<int32_t> device_ids(ids);
      DeviceArray<float> out(static_cast<int64_t>(ids.size()) * dim);
      const void* from = dtype == DType::kF32 ? static_cast<const void*>(floats.get()) : bits.get();
      ASSERT_TRUE(IsOk(LaunchEmbedRows({.table = from,
                                        .dtype = dtype,
                                        .ids = device_ids.get(),
                                        .hidden = out.get(),
                                        .m = static_cast<int64_t>(ids.size()),
                                        .dim = dim},
                                       nullptr)));
      ASSERT_TRUE(Synchronized());
      std::vector<float> expected;
      for (const int32_t id : ids)
        expected.insert(expected.end(), stored.begin() + id * dim, stored.begin() + (id + 1) * dim);
      EXPECT_TRUE(BitEqual(out.Download(), expected)) << dim << " " << DTypeName(dtype);
      EXPECT_TRUE(out.GuardsIntact());
    }
  }
}

TEST_F(CudaRowOps, QuantizedRowsAreTheReferencesBits) {
  for (const int64_t in : {1, 31, 32, 40, 130, 512, 2048, 4096}) {
    for (const bool permuted : {false, true}) {
      const int64_t m = in > 1000 ? 9 : 5;
      std::vector<float> x = RandomActivations(m * in, static_cast<uint64_t>(in));
      if (in >= 64) std::fill(x.begin(), x.begin() + 32, 0.0f);  // a run of zeros
      std::vector<int32_t> permutation(Index(in));
      std::iota(permutation.rbegin(), permutation.rend(), 0);
      const DeviceArray<float> device_x(x);
      const DeviceArray<int32_t> order(permutation);
      DeviceInt8Rows out(m, in);
      ASSERT_TRUE(IsOk(LaunchQuantize({.x = device_x.get(),
                                       .permutation = permuted ? order.get() : nullptr,
                                       .out = out.view(),
                                       .m = m,
                                       .in = in,
                                       .x_stride = in},
                                      nullptr)));
      ASSERT_TRUE(Synchronized());
      SCOPED_TRACE(in);
      out.ExpectQuantized(x, in, permuted ? permutation.data() : nullptr);
    }
  }
}

// hidden and normed of one call, in all combinations of what is added.
TEST_F(CudaRowOps, AddNormAgreesWithTheReferenceAndQuantizesItsOwnResult) {
  for (const int64_t dim : {1, 8, 33, 256, 2048, 4100}) {
    for (int what = 0; what < 8; ++what) {
      const int64_t m = dim == 2048 ? 8 : 3;
      SCOPED_TRACE(::testing::Message() << "dim " << dim << " what " << what);
      const std::vector<float> hidden = RandomActivations(m * dim, 1), addend = RandomActivations(m * dim, 2),
                               addend2 = RandomActivations(m * dim, 3), shared = RandomActivations(m * dim, 4),
                               gate = RandomActivations(m, 5), weight = RandomActivations(dim, 6);
      // The sum in the kernel's order, in float64; three or fewer roundings on the way, of at most this magnitude.
      std::vector<float> expected_hidden;
      std::vector<double> sum_bound;
      for (int64_t i = 0; i < m * dim; ++i) {
        const double sigmoid = 1 / (1 + std::exp(-static_cast<double>(gate[Index(i / dim)])));
        double sum = static_cast<double>(hidden[Index(i)]), magnitude = std::abs(sum);
        const auto add = [&](bool wanted, double term) {
          if (wanted) sum += term, magnitude += std::abs(term);
        };
        add((what & 1) != 0, static_cast<double>(addend[Index(i)]));
        add((what & 2) != 0, static_cast<double>(addend2[Index(i)]));
        add((what & 4) != 0, sigmoid * static_cast<double>(shared[Index(i)]));
        expected_hidden.push_back(static_cast<float>(sum));
        sum_bound.push_back(Gamma(12) * magnitude);  // 3 sums, the gate's 6, its product, the reference's own
      }
      DeviceArray<float> device_hidden(hidden), normed(m * dim);
      const DeviceArray<float> a(addend), b(addend2), s(shared), g(gate), w(weight);
      DeviceInt8Rows quantized(m, dim);
      const AddNormArgs args = {.hidden = device_hidden.get(),
                                .addend = (what & 1) != 0 ? a.get() : nullptr,
                                .addend2 = (what & 2) != 0 ? b.get() : nullptr,
                                .shared = (what & 4) != 0 ? s.get() : nullptr,
                                .shared_gate = g.get(),
                                .weight = w.get(),
                                .normed = normed.get(),
                                .quantized = quantized.view(),
                                .m = m,
                                .dim = dim,
                                .eps = kEps};
      ASSERT_TRUE(IsOk(LaunchAddNorm(args, nullptr)));
      ASSERT_TRUE(Synchronized());
      const std::vector<float> actual_hidden = device_hidden.Download(), actual = normed.Download();
      EXPECT_TRUE(ElementsWithin(actual_hidden, expected_hidden, sum_bound));
      EXPECT_TRUE(device_hidden.GuardsIntact() && normed.GuardsIntact());
      // The norm of what the kernel left in hidden; the quantization of what it left in normed.
      std::vector<float> expected(Index(m * dim));
      ReferenceKernels().rms_norm(
          {.x = actual_hidden.data(), .weight = weight.data(), .out = expected.data(), .dim = dim, .eps = kEps},
          {0, m});
      std::vector<double> bound;
      for (const float y : expected)
        bound.push_back(Gamma(static_cast<double>(dim) / 2 + 8) * std::abs(static_cast<double>(y)) + 1e-36);
      EXPECT_TRUE(ElementsWithin(actual, expected, bound));
      quantized.ExpectQuantized(actual, dim);
    }
  }
}

TEST_F(CudaRowOps, AddNormGivesTheSameBitsTwiceAndForAnyOutput) {
  constexpr int64_t kDim = 2048, kRows = 5;
  const std::vector<float> hidden = RandomActivations(kRows * kDim, 11), addend = RandomActivations(kRows * kDim, 12),
                           weight = RandomActivations(kDim, 13);
  std::vector<float> first;
  for (const bool quantize : {false, true, true}) {
    DeviceArray<float> device_hidden(hidden), normed(kRows * kDim);
    const DeviceArray<float> a(addend), w(weight);
    DeviceInt8Rows rows(kRows, kDim);
    AddNormArgs args = {.hidden = device_hidden.get(),
                        .addend = a.get(),
                        .addend2 = nullptr,
                        .shared = nullptr,
                        .shared_gate = nullptr,
                        .weight = w.get(),
                        .normed = normed.get(),
                        .quantized = {},
                        .m = kRows,
                        .dim = kDim,
                        .eps = kEps};
    if (quantize) args.quantized = rows.view();
    ASSERT_TRUE(IsOk(LaunchAddNorm(args, nullptr)));
    ASSERT_TRUE(Synchronized());
    const std::vector<float> out = normed.Download();
    if (first.empty()) first = out;
    EXPECT_TRUE(BitEqual(out, first));
  }
}

TEST_F(CudaRowOps, SiluMulAgreesWithTheReferenceAndQuantizesItsOwnResult) {
  for (const int64_t dim : {1, 31, 40, 512, 5120}) {
    const int64_t m = 5;
    SCOPED_TRACE(dim);
    std::vector<float> gate = RandomActivations(m * dim, 21);
    const std::vector<float> up = RandomActivations(m * dim, 22);
    gate[0] = -120.0f;  // where exp overflows
    const DeviceArray<float> g(gate), u(up);
    DeviceArray<float> out(m * dim);
    DeviceInt8Rows quantized(m, dim);
    ASSERT_TRUE(IsOk(LaunchSiluMul(
        {.gate = g.get(), .up = u.get(), .out = out.get(), .quantized = quantized.view(), .m = m, .dim = dim},
        nullptr)));
    ASSERT_TRUE(Synchronized());
    std::vector<float> expected(gate.size());
    ReferenceKernels().silu_mul({.gate = gate.data(), .up = up.data(), .out = expected.data(), .dim = dim}, {0, m});
    std::vector<double> bound;
    for (size_t i = 0; i < expected.size(); ++i) {
      bound.push_back(8 * kUnit * std::abs(static_cast<double>(expected[i])) +
                      1e-36 * (1 + std::abs(static_cast<double>(up[i]))));
    }
    const std::vector<float> actual = out.Download();
    EXPECT_TRUE(ElementsWithin(actual, expected, bound));
    EXPECT_TRUE(out.GuardsIntact());
    quantized.ExpectQuantized(actual, dim);
  }
}

}  // namespace
}  // namespace qnext::cuda
