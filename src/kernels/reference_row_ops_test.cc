// The reference ops on single rows, against values worked out by hand.
#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "kernels/kernels_test_util.h"

namespace qnext {
namespace {

using kernels_test::BitEqual;
using kernels_test::Index;
using kernels_test::Random;

const Kernels& kOps = ReferenceKernels();

TEST(ReferenceRmsNorm, ZeroCentredWeight) {
  const std::array<float, 4> x = {3, 4, 0, 0};
  const std::array<float, 2> weight = {0, 1};
  std::array<float, 4> out = {};
  kOps.rms_norm({.x = x.data(), .weight = weight.data(), .out = out.data(), .dim = 2, .eps = 0.5f}, {0, 2});
  EXPECT_FLOAT_EQ(out[0], 3 / std::sqrt(13.0f));      // mean of squares 12.5, plus eps
  EXPECT_FLOAT_EQ(out[1], 4 / std::sqrt(13.0f) * 2);  // 1 + weight
  EXPECT_EQ(out[2], 0.0f);
  EXPECT_EQ(out[3], 0.0f);
}

TEST(ReferenceRmsNorm, WorksInPlaceOnTheRowsOfItsRange) {
  std::array<float, 4> x = {3, 4, 6, 8};
  const std::array<float, 2> weight = {0, 0};
  kOps.rms_norm({.x = x.data(), .weight = weight.data(), .out = x.data(), .dim = 2, .eps = 0}, {1, 2});
  EXPECT_EQ(x[0], 3);
  EXPECT_EQ(x[1], 4);
  EXPECT_FLOAT_EQ(x[2], 6 / std::sqrt(50.0f));
  EXPECT_FLOAT_EQ(x[3], 8 / std::sqrt(50.0f));
}

TEST(ReferenceGatedRmsNorm, FindsEachHeadsGate) {
  // K = 2 groups of (q | k | v0 v1 | z0 z1) with S = 1: heads 0, 1 in the first group, 2, 3 in the second.
  const std::array<float, 12> qkvz = {9, 9, 9, 9, 1, 2, 9, 9, 9, 9, 3, -4};
  const std::array<float, 4> o = {2, -2, 5, 7};
  const std::array<float, 1> weight = {3};
  std::array<float, 4> out = {};
  kOps.gated_rms_norm({.o = o.data(),
                       .qkvz = qkvz.data(),
                       .weight = weight.data(),
                       .out = out.data(),
                       .key_heads = 2,
                       .value_heads = 4,
                       .head_dim = 1,
                       .eps = 0},
                      {0, 1});
  const auto silu = [](float x) { return x / (1 + std::exp(-x)); };
  EXPECT_FLOAT_EQ(out[0], 3 * silu(1));  // o / rms(o) is the sign of o when S = 1; the weight is used as stored
  EXPECT_FLOAT_EQ(out[1], -3 * silu(2));
  EXPECT_FLOAT_EQ(out[2], 3 * silu(3));
  EXPECT_FLOAT_EQ(out[3], 3 * silu(-4));
}

TEST(ReferenceSiluMul, KnownValues) {
  const std::array<float, 4> gate = {0, 1, -1, 100};
  const std::array<float, 4> up = {5, 2, 2, 3};
  std::array<float, 4> out = {};
  kOps.silu_mul({.gate = gate.data(), .up = up.data(), .out = out.data(), .dim = 2}, {0, 2});
  EXPECT_EQ(out[0], 0.0f);
  EXPECT_FLOAT_EQ(out[1], 1.46211715726f);
  EXPECT_FLOAT_EQ(out[2], -0.53788284274f);
  EXPECT_EQ(out[3], 300.0f);
}

TEST(ReferenceConvSilu, TapThreeIsTheCurrentTokenAndTheHistoryMovesOn) {
  // K = H = S = 1: one q, one k, one v channel; large sums, where silu is the identity.
  const std::array<float, 8> qkvz = {4, 40, 400, -1, 5, 50, 500, -1};
  const std::array<float, 12> weight = {1, 10, 100, 1000, 0, 0, 0, 1, 0, 0, 1, 0};
  std::array<float, 9> history = {1, 0, 0, 2, 0, 0, 3, 0, 300};
  std::array<float, 6> out = {};
  const ConvSiluArgs args = {.qkvz = qkvz.data(),
                             .weight = weight.data(),
                             .history = history.data(),
                             .out = out.data(),
                             .tokens = 2,
                             .key_heads = 1,
                             .value_heads = 1,
                             .head_dim = 1};
  ASSERT_EQ(args.channels(), 3);
  ASSERT_EQ(args.qkvz_width(), 4);
  kOps.conv_silu(args, {0, 3});
  EXPECT_EQ(out, (std::array<float, 6>{4321, 40, 300, 5432, 50, 400}));
  EXPECT_EQ(history, (std::array<float, 9>{3, 0, 300, 4, 40, 400, 5, 50, 500}));
}

TEST(ReferenceConvSilu, OrdersAllQueriesThenKeysThenValues) {
  // K = 2, H = 4, S = 2; the current token only. Inputs are large, so that silu is the identity.
  std::vector<float> qkvz(24);
  for (size_t i = 0; i < qkvz.size(); ++i) qkvz[i] = 100 + static_cast<float>(i);
  std::vector<float> weight(16 * 4, 0.0f), history(48, 0.0f), out(16);
  for (size_t c = 0; c < 16; ++c) weight[c * 4 + 3] = 1;
  kOps.conv_silu({.qkvz = qkvz.data(),
                  .weight = weight.data(),
                  .history = history.data(),
                  .out = out.data(),
                  .tokens = 1,
                  .key_heads = 2,
                  .value_heads = 4,
                  .head_dim = 2},
                 {0, 16});
  const std::vector<float> expected = {100, 101, 112, 113,                       // q of both key heads
                                       102, 103, 114, 115,                       // k
                                       104, 105, 106, 107, 116, 117, 118, 119};  // v of four heads
  EXPECT_EQ(out, expected);
}

TEST(ReferenceConvSilu, SplitAtEveryPointEqualsOneShot) {
  constexpr int64_t kTokens = 9, kChannels = 16, kWidth = 24;
  Random random(1);
  const std::vector<float> qkvz = random.Normal(kTokens * kWidth), weight = random.Normal(kChannels * 4);
  const std::vector<float> before = random.Normal(3 * kChannels);
  const auto run = [&](int64_t split, std::vector<float>* history) {
    *history = before;
    std::vector<float> out(Index(kTokens * kChannels));
    for (const Range part : {Range{0, split}, Range{split, kTokens}}) {
      if (part.size() == 0) continue;
      kOps.conv_silu({.qkvz = qkvz.data() + part.begin * kWidth,
                      .weight = weight.data(),
                      .history = history->data(),
                      .out = out.data() + part.begin * kChannels,
                      .tokens = part.size(),
                      .key_heads = 2,
                      .value_heads = 4,
                      .head_dim = 2},
                     {0, kChannels});
    }
    return out;
  };
  std::vector<float> history, expected_history;
  const std::vector<float> expected = run(0, &expected_history);
  for (int64_t split = 1; split < kTokens; ++split) {
    EXPECT_TRUE(BitEqual<float>(run(split, &history), expected)) << "split " << split;
    EXPECT_TRUE(BitEqual<float>(history, expected_history)) << "split " << split;
  }
}

TEST(ReferenceDeltaGates, KnownValues) {
  // K = 2 groups of (b0 b1 | a0 a1).
  const std::array<float, 8> ba = {0, 1000, 1, 48, -1000, 2, -50, -3};
  const std::array<float, 4> a_log = {0, std::log(2.0f), 0, 0};
  const std::array<float, 4> dt_bias = {-1, 2, 0, 3};
  std::array<float, 4> g = {}, beta = {};
  kOps.delta_gates({.ba = ba.data(),
                    .a_log = a_log.data(),
                    .dt_bias = dt_bias.data(),
                    .g = g.data(),
                    .beta = beta.data(),
                    .key_heads = 2,
                    .value_heads = 4},
                   {0, 1});
  EXPECT_FLOAT_EQ(g[0], -std::log(2.0f));
  EXPECT_FLOAT_EQ(g[1], -100.0f);
  EXPECT_FLOAT_EQ(g[2], -1.9287498e-22f);  // -e^-50
  EXPECT_FLOAT_EQ(g[3], -std::log(2.0f));
  EXPECT_EQ(beta[0], 0.5f);
  EXPECT_EQ(beta[1], 1.0f);
  EXPECT_EQ(beta[2], 0.0f);
  EXPECT_FLOAT_EQ(beta[3], 0.88079707797f);
}

TEST(ReferenceQkNormRope, TurnsTheFirstDimensionsOnly) {
  // Two heads of 6 dims, 4 of them rotary: pairs (0, 2) and (1, 3). The second head stands after a gate of 6.
  const std::vector<float> x = {1, 1, 1, 1, 1, -1, 9, 9, 9, 9, 9, 9, 2, 2, -2, 2, 2, 2, 9, 9, 9, 9, 9, 9};
  const std::vector<float> weight = {0, 0, 0, 0, 0, 1};
  const std::vector<float> cosine = {0, 0.6f}, sine = {1, 0.8f};
  std::vector<float> out(12);
  kOps.qk_norm_rope({.x = x.data(),
                     .weight = weight.data(),
                     .cos = cosine.data(),
                     .sin = sine.data(),
                     .out = out.data(),
                     .heads = 2,
                     .head_dim = 6,
                     .rotary_dims = 4,
                     .token_stride = 24,
                     .head_stride = 12,
                     .eps = 0},
                    {0, 2});
  const std::vector<float> expected = {-1, -0.2f, 1, 1.4f, 1, -2, 1, -0.2f, 1, 1.4f, 1, 2};
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_FLOAT_EQ(out[i], expected[i]) << i;
}

TEST(ReferenceRouter, TakesTheLowerIndexAmongEquals) {
  const std::array<float, 6> logits = {1, 3, 0, 3, 3, -2};
  std::array<int32_t, 2> experts = {};
  std::array<float, 2> weights = {};
  kOps.router({.logits = logits.data(),
               .experts = experts.data(),
               .weights = weights.data(),
               .num_experts = 6,
               .top = 2,
               .normalize = true,
               .forced = false},
              {0, 1});
  EXPECT_EQ(experts, (std::array<int32_t, 2>{1, 3}));
  EXPECT_EQ(weights, (std::array<float, 2>{0.5f, 0.5f}));
}

TEST(ReferenceRouter, WeightsAreProbabilitiesInFallingOrder) {
  const std::array<float, 4> logits = {std::log(0.1f), std::log(0.5f), std::log(0.15f), std::log(0.25f)};
  std::array<int32_t, 3> experts = {};
  std::array<float, 3> weights = {};
  RouterArgs args = {.logits = logits.data(),
                     .experts = experts.data(),
                     .weights = weights.data(),
                     .num_experts = 4,
                     .top = 3,
                     .normalize = false,
                     .forced = false};
  kOps.router(args, {0, 1});
  EXPECT_EQ(experts, (std::array<int32_t, 3>{1, 3, 2}));
  EXPECT_FLOAT_EQ(weights[0], 0.5f);
  EXPECT_FLOAT_EQ(weights[1], 0.25f);
  EXPECT_FLOAT_EQ(weights[2], 0.15f);

  args.normalize = true;
  args.forced = true;
  experts = {0, 2, 3};
  kOps.router(args, {0, 1});
  EXPECT_EQ(experts, (std::array<int32_t, 3>{0, 2, 3}));
  EXPECT_FLOAT_EQ(weights[0], 0.2f);
  EXPECT_FLOAT_EQ(weights[1], 0.3f);
  EXPECT_FLOAT_EQ(weights[2], 0.5f);
}

TEST(ReferenceCombineExperts, AddsRoutedAndSharedToTheResidual) {
  const std::array<float, 4> residual = {1, 2, 10, 20};
  const std::array<float, 8> rows = {1, 1, 2, 2, 3, 3, 4, 4};
  const std::array<int64_t, 4> slots = {3, 0, 1, 2};
  const std::array<float, 4> weights = {0.5f, 0.25f, 1, -1};
  const std::array<float, 4> shared = {8, 16, 2, 4};
  const std::array<float, 2> shared_gate = {0, 1000};
  std::array<float, 4> out = {};
  CombineExpertsArgs args = {.residual = residual.data(),
                             .rows = rows.data(),
                             .slots = slots.data(),
                             .weights = weights.data(),
                             .shared = shared.data(),
                             .shared_gate = shared_gate.data(),
                             .out = out.data(),
                             .dim = 2,
                             .top = 2};
  kOps.combine_experts(args, {0, 2});
  EXPECT_EQ(out, (std::array<float, 4>{1 + 2 + 0.25f + 4, 2 + 2 + 0.25f + 8, 10 + 2 - 3 + 2, 20 + 2 - 3 + 4}));
  args.shared = nullptr;
  args.shared_gate = nullptr;
  kOps.combine_experts(args, {0, 1});
  EXPECT_EQ(out[0], 3.25f);
  EXPECT_EQ(out[2], 11);
}

}  // namespace
}  // namespace qnext
