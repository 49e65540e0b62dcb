// The vectorised row ops against the reference: ragged and real sizes, bounds of docs/numerics.md, every grouping.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "compare.h"
#include "kernels/kernels_test_util.h"

namespace qnext {
namespace {

using namespace kernels_test;  // NOLINT: the helpers of this folder's tests

constexpr float kEps = 1e-6f;
constexpr double kTiny = 1e-36;  // what the exponential may lose below the normal range

double Abs(float x) { return std::abs(static_cast<double>(x)); }

// Calls op(ops, args, range) with `out` filled by the reference and by each fast table; checks bounds, guards and
// that every grouping gives the same bits. make(out) builds the arguments.
template <typename Args>
void ExpectAgree(void (*Kernels::*op)(const Args&, Range), int64_t items, int64_t floats,
                 const std::function<Args(float*)>& make, const std::function<double(size_t, double)>& bound_of,
                 const std::string& what) {
  std::vector<float> expected(Index(floats));
  (ReferenceKernels().*op)(make(expected.data()), {0, items});
  std::vector<double> bounds;
  for (size_t i = 0; i < expected.size(); ++i) bounds.push_back(bound_of(i, Abs(expected[i])));
  for (const Kernels& ops : FloatOpsUnderTest()) {
    Guarded<float> out(floats);
    (ops.*op)(make(out.get()), {0, items});
    EXPECT_TRUE(ElementsWithin(out.span(), expected, bounds)) << ops.name << " " << what;
    EXPECT_TRUE(out.GuardsIntact()) << ops.name << " " << what;
    for (const Grouping grouping : kOtherGroupings) {
      Guarded<float> again(floats);
      const Args args = make(again.get());
      ForRanges(grouping, items, [&](Range range) { (ops.*op)(args, range); });
      EXPECT_TRUE(BitEqual(again.span(), out.span())) << ops.name << " " << what;
    }
  }
}

TEST(FloatOpsRmsNorm, AgreesWithTheReference) {
  Random random(101);
  for (const int64_t dim : {1, 3, 15, 16, 17, 64, 65, 100, 257, 2048}) {
    const int64_t rows = 5;
    const std::vector<float> x = random.Normal(rows * dim, 3), weight = random.Normal(dim, 0.5);
    ExpectAgree<RmsNormArgs>(
        &Kernels::rms_norm, rows, rows * dim,
        [&](float* out) {
          return RmsNormArgs{.x = x.data(), .weight = weight.data(), .out = out, .dim = dim, .eps = kEps};
        },
        [&](size_t, double y) { return Gamma(static_cast<double>(dim) / 2 + 8) * y + kTiny; },
        "dim " + std::to_string(dim));
  }
}

TEST(FloatOpsRmsNorm, WorksInPlaceAndARowDoesNotFeelItsNeighbours) {
  Random random(102);
  constexpr int64_t kDim = 75;
  const std::vector<float> x = random.Normal(3 * kDim), weight = random.Normal(kDim);
  for (const Kernels& ops : FloatOpsUnderTest()) {
    std::vector<float> apart(x.size()), in_place = x;
    ops.rms_norm({.x = x.data(), .weight = weight.data(), .out = apart.data(), .dim = kDim, .eps = kEps}, {0, 3});
    std::fill(in_place.begin(), in_place.begin() + kDim, std::numeric_limits<float>::quiet_NaN());
    ops.rms_norm({.x = in_place.data(), .weight = weight.data(), .out = in_place.data(), .dim = kDim, .eps = kEps},
                 {0, 3});
    EXPECT_TRUE(BitEqual<float>(std::span(in_place).subspan(kDim), std::span<const float>(apart).subspan(kDim)))
        << ops.name;
    EXPECT_TRUE(std::isnan(in_place[0])) << ops.name;
  }
}

TEST(FloatOpsGatedRmsNorm, AgreesWithTheReference) {
  Random random(103);
  struct Shape {
    int64_t tokens, key_heads, value_heads, head_dim;
  };
  for (const Shape& s : {Shape{3, 1, 1, 8}, Shape{2, 3, 3, 33}, Shape{4, 2, 4, 80}, Shape{3, 16, 32, 128}}) {
    const int64_t floats = s.tokens * s.value_heads * s.head_dim;
    const std::vector<float> o = random.Normal(floats), weight = random.Normal(s.head_dim);
    const std::vector<float> qkvz = random.Normal(s.tokens * 2 * (s.key_heads + s.value_heads) * s.head_dim, 4);
    ExpectAgree<GatedRmsNormArgs>(
        &Kernels::gated_rms_norm, s.tokens, floats,
        [&](float* out) {
          return GatedRmsNormArgs{.o = o.data(),
                                  .qkvz = qkvz.data(),
                                  .weight = weight.data(),
                                  .out = out,
                                  .key_heads = s.key_heads,
                                  .value_heads = s.value_heads,
                                  .head_dim = s.head_dim,
                                  .eps = kEps};
        },
        [&](size_t, double y) { return Gamma(static_cast<double>(s.head_dim) / 2 + 16) * y + kTiny; },
        "S " + std::to_string(s.head_dim));
  }
}

TEST(FloatOpsSiluMul, TheExponentialIsWithinTwoUlpEverywhere) {
  // Silu(x) for a sweep of x: 4u from exp, 1u of the sum, 1u of the quotient, 1u of the reference's own rounding.
  std::vector<float> gate;
  for (double x = -100; x <= 100; x += 0.00037) gate.push_back(static_cast<float>(x));
  for (int e = -126; e < 7; ++e) {
    for (const float sign : {-1.0f, 1.0f}) gate.push_back(sign * std::ldexp(1.37f, e));
  }
  const int64_t n = static_cast<int64_t>(gate.size());
  const std::vector<float> up(gate.size(), 1.0f);
  ExpectAgree<SiluMulArgs>(
      &Kernels::silu_mul, n, n,
      [&](float* out) { return SiluMulArgs{.gate = gate.data(), .up = up.data(), .out = out, .dim = 1}; },
      [&](size_t, double y) { return Gamma(7) * y + kTiny; }, "sweep");
}

TEST(FloatOpsSiluMul, AgreesWithTheReferenceInPlaceToo) {
  Random random(104);
  for (const int64_t dim : {1, 31, 48, 512, 515}) {
    const int64_t rows = 4;
    const std::vector<float> gate = random.Normal(rows * dim, 5), up = random.Normal(rows * dim);
    ExpectAgree<SiluMulArgs>(
        &Kernels::silu_mul, rows, rows * dim,
        [&](float* out) { return SiluMulArgs{.gate = gate.data(), .up = up.data(), .out = out, .dim = dim}; },
        [&](size_t i, double y) { return Gamma(8) * y + kTiny * (1 + Abs(up[i])); }, "dim " + std::to_string(dim));
    for (const Kernels& ops : FloatOpsUnderTest()) {
      std::vector<float> apart(gate.size()), on_gate = gate, on_up = up;
      ops.silu_mul({.gate = gate.data(), .up = up.data(), .out = apart.data(), .dim = dim}, {0, rows});
      ops.silu_mul({.gate = on_gate.data(), .up = up.data(), .out = on_gate.data(), .dim = dim}, {0, rows});
      ops.silu_mul({.gate = gate.data(), .up = on_up.data(), .out = on_up.data(), .dim = dim}, {0, rows});
      EXPECT_TRUE(BitEqual<float>(on_gate, apart)) << ops.name;
      EXPECT_TRUE(BitEqual<float>(on_up, apart)) << ops.name;
    }
  }
}

TEST(FloatOpsSiluMul, LimitsAndNaN) {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> gate = {inf, -1e30f, nan, 88.8f, -88.8f, 0}, up = {1, 1, 1, 1, 1, nan};
  for (const Kernels& ops : FloatOpsUnderTest()) {
    std::vector<float> out(gate.size());
    ops.silu_mul({.gate = gate.data(), .up = up.data(), .out = out.data(), .dim = 6}, {0, 1});
    EXPECT_EQ(out[0], inf) << ops.name;
    EXPECT_EQ(out[1], 0.0f) << ops.name;
    EXPECT_TRUE(std::isnan(out[2])) << ops.name;
    EXPECT_EQ(out[3], 88.8f) << ops.name;
    EXPECT_NEAR(out[4], 0, 1e-36) << ops.name;
    EXPECT_TRUE(std::isnan(out[5])) << ops.name;
  }
}

TEST(FloatOpsDeltaGates, AgreesWithTheReference) {
  Random random(105);
  struct Shape {
    int64_t tokens, key_heads, value_heads;
  };
  for (const Shape& s : {Shape{130, 1, 1}, Shape{7, 2, 6}, Shape{9, 5, 5}, Shape{50, 16, 32}}) {
    const int64_t floats = s.tokens * s.value_heads;
    const std::vector<float> ba = random.Normal(2 * floats, 8);
    const std::vector<float> a_log = random.Uniform(s.value_heads, -4, 3), dt_bias = random.Normal(s.value_heads, 4);
    std::vector<float> beta(Index(floats)), g(Index(floats));
    const auto args = [&](float* g_out, float* beta_out) {
      return DeltaGatesArgs{.ba = ba.data(),
                            .a_log = a_log.data(),
                            .dt_bias = dt_bias.data(),
                            .g = g_out,
                            .beta = beta_out,
                            .key_heads = s.key_heads,
                            .value_heads = s.value_heads};
    };
    const int64_t ratio = s.value_heads / s.key_heads;
    const auto g_bound = [&](size_t i, double y) {
      const int64_t h = static_cast<int64_t>(i) % s.value_heads, t = static_cast<int64_t>(i) / s.value_heads;
      const double a = ba[Index(t * 2 * s.value_heads + h / ratio * 2 * ratio + ratio + h % ratio)];
      const double rate = std::exp(static_cast<double>(a_log[Index(h)]));
      const double x = a + static_cast<double>(dt_bias[Index(h)]);
      // The rounding of a + dt_bias, through softplus' = sigmoid; the rest is relative.
      return Gamma(24) * y + rate * (kUnit * std::abs(x) / (1 + std::exp(-x)) + kTiny);
    };
    const std::string what = "H " + std::to_string(s.value_heads);
    ExpectAgree<DeltaGatesArgs>(
        &Kernels::delta_gates, s.tokens, floats, [&](float* out) { return args(out, beta.data()); }, g_bound, what);
    ExpectAgree<DeltaGatesArgs>(
        &Kernels::delta_gates, s.tokens, floats, [&](float* out) { return args(g.data(), out); },
        [&](size_t, double y) { return Gamma(7) * y + kTiny; }, what);
    EXPECT_LE(*std::max_element(g.begin(), g.end()), 0.0f);
  }
}

TEST(FloatOpsQkNormRope, AgreesWithTheReference) {
  Random random(106);
  struct Shape {
    int64_t tokens, heads, head_dim, rotary_dims;
  };
  for (const Shape& s :
       {Shape{3, 1, 64, 16}, Shape{5, 3, 80, 20}, Shape{2, 5, 96, 96}, Shape{7, 16, 256, 64}, Shape{7, 2, 128, 6}}) {
    const int64_t token_stride = s.heads * 2 * s.head_dim + 5;
    const std::vector<float> x = random.Normal(s.tokens * token_stride), weight = random.Normal(s.head_dim, 0.3);
    std::vector<float> cosine, sine;
    for (int64_t i = 0; i < s.tokens * s.rotary_dims / 2; ++i) {
      const double angle = random.Uniform(0, 300000);
      cosine.push_back(static_cast<float>(std::cos(angle)));
      sine.push_back(static_cast<float>(std::sin(angle)));
    }
    const auto make = [&](float* out) {
      return QkNormRopeArgs{.x = x.data(),
                            .weight = weight.data(),
                            .cos = cosine.data(),
                            .sin = sine.data(),
                            .out = out,
                            .heads = s.heads,
                            .head_dim = s.head_dim,
                            .rotary_dims = s.rotary_dims,
                            .token_stride = token_stride,
                            .head_stride = 2 * s.head_dim,
                            .eps = kEps};
    };
    // |a cos| + |b sin| <= the norm of the pair, which the rotation keeps.
    std::vector<float> expected(Index(s.tokens * s.heads * s.head_dim));
    ReferenceKernels().qk_norm_rope(make(expected.data()), {0, s.tokens * s.heads});
    const auto bound = [&](size_t i, double y) {
      const size_t d = i % Index(s.head_dim), half = Index(s.rotary_dims / 2);
      double norm = y;
      if (d < half) norm = std::sqrt(2.0) * std::hypot(y, Abs(expected[i + half]));
      if (d >= half && d < 2 * half) norm = std::sqrt(2.0) * std::hypot(y, Abs(expected[i - half]));
      return Gamma(static_cast<double>(s.head_dim) / 2 + 12) * norm + kTiny;
    };
    ExpectAgree<QkNormRopeArgs>(&Kernels::qk_norm_rope, s.tokens * s.heads, s.tokens * s.heads * s.head_dim, make,
                                bound, "Dh " + std::to_string(s.head_dim));
  }
}

}  // namespace
}  // namespace qnext
