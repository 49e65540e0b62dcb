// Residual sums and norms, embedding rows, quantization and silu on the GPU against the reference.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "compare.h"
#include "kernels/cuda/cuda_test_util.h"
#include "kernels/cuda/row_ops.h"
#include "kernels/kernels_test_util.h"

namespace qnext {
namespace {

using namespace kernels_test;  // NOLINT: the helpers of this folder's tests
using cuda_test::DeviceArray;

class CudaRowOps : public cuda_test::CudaTest {};

struct Codes {
  std::vector<int8_t> codes;
  std::vector<float> scales;
  std::vector<int32_t> sums;
};

struct DeviceCodes {
  DeviceCodes(int64_t m, int64_t padded)
      : codes(m * padded), scales(m * padded / 32), sums(m * padded / 32), in_padded(padded) {}
  Int8Rows rows() { return {codes.get(), scales.get(), sums.get(), in_padded}; }
  Codes Download() const {
    EXPECT_TRUE(codes.GuardsIntact() && scales.GuardsIntact() && sums.GuardsIntact());
    return {codes.Download(), scales.Download(), sums.Download()};
  }
  DeviceArray<int8_t> codes;
  DeviceArray<float> scales;
  DeviceArray<int32_t> sums;
  int64_t in_padded;
};

Codes Quantized(const std::vector<float>& x, const int32_t* permutation, int64_t m, int64_t in, int64_t stride,
                int64_t padded) {
  Codes out = {std::vector<int8_t>(Index(m * padded)), std::vector<float>(Index(m * padded / 32)),
               std::vector<int32_t>(Index(m * padded / 32))};
  const QuantizeRowsArgs args = {.x = x.data(),
                                 .permutation = permutation,
                                 .out = {out.codes.data(), out.scales.data(), out.sums.data(), padded},
                                 .m = m,
                                 .in = in,
                                 .x_stride = stride};
  ReferenceKernels().quantize_rows(args, {0, m});
  return out;
}

void ExpectSame(const Codes& actual, const Codes& expected) {
  EXPECT_TRUE(BitEqual<int8_t>(actual.codes, expected.codes));
  EXPECT_TRUE(BitEqual<float>(actual.scales, expected.scales));
  EXPECT_TRUE(BitEqual<int32_t>(actual.sums, expected.sums));
}

void Finish(const Status& launched) {
  ASSERT_TRUE(cuda_test::IsOk(launched));
  ASSERT_TRUE(cuda_test::Synchronized());
}

TEST_F(CudaRowOps, EmbedRowsWidensExactly) {
  struct Shape {
    int64_t vocab, dim;
  };
  Random random(2100);
  for (const Shape& s : {Shape{151936, 2048}, Shape{7, 1}, Shape{33, 257}}) {
    const std::vector<int32_t> ids = {0, static_cast<int32_t>(s.vocab - 1), 3, 3, 5};
    const int64_t m = static_cast<int64_t>(ids.size());
    DeviceArray<int32_t> d_ids(ids);
    for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
      // Any bits that are finite in all three types: the exponent's highest bit stays 0.
      const int64_t halves = s.vocab * s.dim * (dtype == DType::kF32 ? 2 : 1);
      std::vector<uint16_t> table(Index(halves));
      for (uint16_t& bits : table) bits = static_cast<uint16_t>(random.engine()() & 0xbfff);
      std::vector<float> expected(Index(m * s.dim));
      for (int64_t i = 0; i < m * s.dim; ++i) {
        const size_t at = Index(ids[Index(i / s.dim)] * s.dim + i % s.dim);
        float& x = expected[Index(i)];
        if (dtype == DType::kF32) {
          std::memcpy(&x, table.data() + 2 * at, sizeof x);
        } else if (dtype == DType::kBF16) {
          const uint32_t bits = uint32_t{table[at]} << 16;
          std::memcpy(&x, &bits, sizeof x);
        } else {
          const int exponent = table[at] >> 10 & 31, fraction = table[at] & 1023;
          const float size = exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24)
                                           : std::ldexp(static_cast<float>(1024 + fraction), exponent - 25);
          x = std::copysign(size, (table[at] & 0x8000) != 0 ? -1.0f : 1.0f);
        }
      }
      DeviceArray<uint16_t> d_table(table);
      DeviceArray<float> hidden(m * s.dim);
      Finish(cuda::LaunchEmbedRows(
          {.table = d_table.get(), .dtype = dtype, .ids = d_ids.get(), .hidden = hidden.get(), .m = m, .dim = s.dim},
          nullptr));
      EXPECT_TRUE(hidden.GuardsIntact());
      EXPECT_TRUE(BitEqual<float>(hidden.Download(), expected)) << s.vocab << "x" << s.dim;
    }
  }
}

// addends: 0 none, 1 the first, 2 the second as well, 3 the shared expert as well.
void CheckAddNorm(int64_t m, int64_t dim, int addends) {
  SCOPED_TRACE(::testing::Message() << "m " << m << " dim " << dim << " addends " << addends);
  Random random(static_cast<uint32_t>(2200 + m + dim + addends));
  const std::vector<float> h = random.Normal(m * dim), a = random.Normal(m * dim), b = random.Normal(m * dim, 0.1),
                           shared = random.Normal(m * dim, 3), gate = random.Normal(m, 4),
                           weight = random.Normal(dim, 0.2);
  // Four terms, of which one carries sigmoid's 6 u and a product; three sums and the rounding of the reference:
  // below 12.
  std::vector<float> sums(h.size());
  std::vector<double> bounds(h.size());
  for (size_t i = 0; i < h.size(); ++i) {
    const double g = 1 / (1 + std::exp(-static_cast<double>(gate[i / Index(dim)])));
    double sum = static_cast<double>(h[i]), size = std::abs(sum);
    const auto add = [&](double x) { sum += x, size += std::abs(x); };
    if (addends > 0) add(static_cast<double>(a[i]));
    if (addends > 1) add(static_cast<double>(b[i]));
    if (addends > 2) add(g * static_cast<double>(shared[i]));
    sums[i] = static_cast<float>(sum), bounds[i] = addends > 0 ? Gamma(12) * size : 0;
  }
  const int64_t padded = RoundUp(dim, 32) + 64;
  DeviceArray<float> d_a(a), d_b(b), d_shared(shared), d_gate(gate), d_weight(weight);
  struct Outputs {
    std::vector<float> hidden, normed;
    Codes codes;
  };
  const auto run = [&](bool floats, bool quantizes) {
    DeviceArray<float> hidden(h), normed(m * dim);
    DeviceCodes codes(m, padded);
    Finish(cuda::LaunchAddNorm({.hidden = hidden.get(),
                                .addend = addends > 0 ? d_a.get() : nullptr,
                                .addend2 = addends > 1 ? d_b.get() : nullptr,
                                .shared = addends > 2 ? d_shared.get() : nullptr,
                                .shared_gate = addends > 2 ? d_gate.get() : nullptr,
                                .weight = d_weight.get(),
                                .normed = floats ? normed.get() : nullptr,
                                .quantized = quantizes ? codes.rows() : Int8Rows{},
                                .m = m,
                                .dim = dim,
                                .eps = 1e-6f},
                               nullptr));
    EXPECT_TRUE(hidden.GuardsIntact() && normed.GuardsIntact());
    return Outputs{hidden.Download(), normed.Download(), codes.Download()};
  };
  const Outputs all = run(true, true);
  EXPECT_TRUE(ElementsWithin(all.hidden, sums, bounds));
  // The norm of what the device itself has summed, and the codes of what it has normed.
  std::vector<float> expected(h.size());
  ReferenceKernels().rms_norm(
      {.x = all.hidden.data(), .weight = weight.data(), .out = expected.data(), .dim = dim, .eps = 1e-6f}, {0, m});
  std::vector<double> norm_bounds;
  for (const float y : expected) {
    norm_bounds.push_back(Gamma(static_cast<double>(dim) / 2 + 8) * std::abs(static_cast<double>(y)) + 1e-36);
  }
  EXPECT_TRUE(ElementsWithin(all.normed, expected, norm_bounds));
  ExpectSame(all.codes, Quantized(all.normed, nullptr, m, dim, dim, padded));
  const Outputs again = run(true, true), floats = run(true, false), codes = run(false, true);
  for (const Outputs* other : {&again, &floats}) {
    EXPECT_TRUE(BitEqual<float>(other->hidden, all.hidden));
    EXPECT_TRUE(BitEqual<float>(other->normed, all.normed));
  }
  ExpectSame(again.codes, all.codes);
  ExpectSame(codes.codes, all.codes);
}

TEST_F(CudaRowOps, AddNormAgreesWithTheReferenceAndQuantizesIt) {
  for (int addends = 0; addends <= 3; ++addends) {
    CheckAddNorm(1, 2048, addends), CheckAddNorm(8, 2048, addends), CheckAddNorm(3, 33, addends);
    CheckAddNorm(2, 511, addends), CheckAddNorm(70, 2048, addends), CheckAddNorm(2, 1, addends);
  }
}

TEST_F(CudaRowOps, QuantizeIsTheReferenceToTheBit) {
  struct Shape {
    int64_t m, in, stride, padded;
  };
  Random random(2300);
  for (const Shape& s : {Shape{1, 2048, 2048, 2048}, Shape{8, 2048, 2051, 2048}, Shape{3, 4096, 4096, 4224},
                         Shape{5, 1, 3, 32}, Shape{2, 33, 40, 128}, Shape{70, 512, 512, 512}}) {
    SCOPED_TRACE(::testing::Message() << s.m << " x " << s.in);
    std::vector<float> x = random.Normal(s.m * s.stride);
    for (int64_t i = 0; i < std::min<int64_t>(32, s.in); ++i) x[Index(i)] = 0;  // a run without a scale
    for (size_t i = 32; i < x.size(); i += 3) x[i] *= 1e-6f;
    std::vector<int32_t> order(Index(s.in));
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), random.engine());
    DeviceArray<float> d_x(x);
    DeviceArray<int32_t> d_order(order);
    for (const bool ordered : {false, true}) {
      DeviceCodes out(s.m, s.padded);
      Finish(cuda::LaunchQuantize({.x = d_x.get(),
                                   .permutation = ordered ? d_order.get() : nullptr,
                                   .out = out.rows(),
                                   .m = s.m,
                                   .in = s.in,
                                   .x_stride = s.stride},
                                  nullptr));
      ExpectSame(out.Download(), Quantized(x, ordered ? order.data() : nullptr, s.m, s.in, s.stride, s.padded));
    }
  }
}

TEST_F(CudaRowOps, SiluMulAgreesWithTheReferenceAndQuantizesIt) {
  Random random(2400);
  for (const auto& [m, dim] : {std::pair<int64_t, int64_t>{1, 512}, {8, 512}, {70, 512}, {3, 5120}, {2, 33}, {5, 1}}) {
    SCOPED_TRACE(::testing::Message() << m << " x " << dim);
    std::vector<float> gate = random.Normal(m * dim, 5);
    const std::vector<float> up = random.Normal(m * dim);
    gate.front() = -200, gate.back() = 200;
    std::vector<float> expected(gate.size());
    ReferenceKernels().silu_mul({.gate = gate.data(), .up = up.data(), .out = expected.data(), .dim = dim}, {0, m});
    std::vector<double> bounds;
    for (size_t i = 0; i < expected.size(); ++i) {
      bounds.push_back(Gamma(8) * std::abs(static_cast<double>(expected[i])) +
                       1e-36 * (1 + std::abs(static_cast<double>(up[i]))));
    }
    const int64_t padded = RoundUp(dim, 32) + 32;
    DeviceArray<float> d_gate(gate), d_up(up);
    const auto run = [&](bool floats, bool quantizes) {
      DeviceArray<float> out(m * dim);
      DeviceCodes codes(m, padded);
      Finish(cuda::LaunchSiluMul({.gate = d_gate.get(),
                                  .up = d_up.get(),
                                  .out = floats ? out.get() : nullptr,
                                  .quantized = quantizes ? codes.rows() : Int8Rows{},
                                  .m = m,
                                  .dim = dim},
                                 nullptr));
      EXPECT_TRUE(out.GuardsIntact());
      return std::pair{out.Download(), codes.Download()};
    };
    const auto all = run(true, true);
    EXPECT_TRUE(ElementsWithin(all.first, expected, bounds));
    ExpectSame(all.second, Quantized(all.first, nullptr, m, dim, dim, padded));
    EXPECT_TRUE(BitEqual<float>(run(true, true).first, all.first)) << "a second run";
    EXPECT_TRUE(BitEqual<float>(run(true, false).first, all.first)) << "floats alone";
    ExpectSame(run(false, true).second, all.second);
  }
}

}  // namespace
}  // namespace qnext
