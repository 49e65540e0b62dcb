// The reference cache rows and attention, against values worked out by hand.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>

#include "compare.h"
#include "kernels/attention_test_util.h"

namespace qnext {
namespace {

using namespace kernels_test;  // NOLINT: the helpers of this folder's tests

const Kernels& kOps = ReferenceKernels();

TEST(E4M3, EveryCodeRoundTrips) {
  for (int code = 0; code < 256; ++code) {
    const float value = reference::E4M3ToFloat(static_cast<uint8_t>(code));
    if ((code & 0x7f) == 0x7f) {
      EXPECT_TRUE(std::isnan(value));
      EXPECT_TRUE(std::isnan(reference::E4M3ToFloat(reference::FloatToE4M3(value))));
    } else {
      EXPECT_EQ(reference::FloatToE4M3(value), code) << value;
    }
  }
}

TEST(E4M3, PublishedValues) {
  EXPECT_EQ(reference::E4M3ToFloat(0x7e), 448.0f);
  EXPECT_EQ(reference::E4M3ToFloat(0x38), 1.0f);
  EXPECT_EQ(reference::E4M3ToFloat(0x08), std::ldexp(1.0f, -6));
  EXPECT_EQ(reference::E4M3ToFloat(0x01), std::ldexp(1.0f, -9));
  EXPECT_EQ(reference::E4M3ToFloat(0xc0), -2.0f);
}

TEST(E4M3, RoundsTiesToEvenAndSaturates) {
  const auto rounded = [](float x) { return reference::E4M3ToFloat(reference::FloatToE4M3(x)); };
  EXPECT_EQ(rounded(17), 16);
  EXPECT_EQ(rounded(19), 20);
  EXPECT_EQ(rounded(std::nextafter(17.0f, 18.0f)), 18);
  EXPECT_EQ(rounded(31.5f), 32);  // carries into the exponent
  EXPECT_EQ(rounded(std::ldexp(1.0f, -10)), 0);
  EXPECT_EQ(rounded(std::ldexp(3.0f, -10)), std::ldexp(2.0f, -9));
  EXPECT_EQ(rounded(std::ldexp(15.0f, -10)), std::ldexp(1.0f, -6));  // the largest subnormal tie
  EXPECT_EQ(rounded(1e6f), 448);
  EXPECT_EQ(rounded(-1e6f), -448);
  EXPECT_EQ(rounded(std::numeric_limits<float>::infinity()), 448);
  EXPECT_TRUE(std::signbit(rounded(-0.0f)));
}

TEST(E4M3, TakesTheNearestOfAllValues) {
  Random random(11);
  for (int i = 0; i < 2000; ++i) {
    const float x = random.Uniform(-1, 1) * std::ldexp(1.0f, static_cast<int>(random.Uniform(-11, 9)));
    const float chosen = reference::E4M3ToFloat(reference::FloatToE4M3(x));
    for (int code = 0; code < 256; ++code) {
      const float other = reference::E4M3ToFloat(static_cast<uint8_t>(code));
      if (std::isnan(other)) continue;
      ASSERT_LE(std::abs(chosen - x), std::abs(other - x)) << x;
    }
  }
}

TEST(ReferenceKvAppend, Int8RowsCarryTheirScale) {
  const KvLayout layout = {.type = KvType::kInt8, .kv_heads = 2, .head_dim = 3};
  PagedKv kv(layout, 66);
  // Position 65: K head 0 (2.54, -1, 0.01), K head 1 zeros; V head 0 not finite, V head 1 (127, 0.5, 1.5).
  const std::vector<float> k = {2.54f, -1, 0.01f, 0, 0, 0}, v = {1, INFINITY, 2, 127, 0.5f, 1.5f};
  kv.Append(kOps, k, v, 65);
  EXPECT_NEAR(kv.Element(0, 65, false, 0), 2.54, 1e-6);
  EXPECT_NEAR(kv.Element(0, 65, false, 1), -1, 1e-6);  // -50 steps of 0.02
  EXPECT_EQ(kv.Element(0, 65, false, 2), 0);           // a tie, to even
  EXPECT_EQ(kv.Element(1, 65, false, 0), 0);
  EXPECT_TRUE(std::isnan(kv.Element(0, 65, true, 0)));
  EXPECT_EQ(kv.Element(1, 65, true, 0), 127);
  EXPECT_EQ(kv.Element(1, 65, true, 1), 0);
  EXPECT_EQ(kv.Element(1, 65, true, 2), 2);
  // Byte addresses: row (head 1, slot 1) of V, and its scale.
  const std::byte* page = kv.page(1);
  EXPECT_EQ(page[layout.plane_bytes() + (64 + 1) * 3], std::byte{127});
  float scale = 0;
  std::memcpy(&scale, page + 4 * 64 * 3 + (2 * 64 + 64 + 1) * 4, 4);
  EXPECT_EQ(scale, 1.0f);
}

TEST(ReferenceKvAppend, RoundsToTheTypeOfTheCache) {
  const std::vector<float> x = {1.00390625f, -0.3f};  // 1 + 2^-8 is a tie in BF16
  const std::vector<std::pair<KvType, std::array<double, 2>>> cases = {
      {KvType::kF32, {1.00390625, static_cast<double>(-0.3f)}},
      {KvType::kBF16, {1, -0.30078125}},
      {KvType::kF8E4M3, {1, -0.3125}}};
  for (const auto& [type, expected] : cases) {
    PagedKv kv({.type = type, .kv_heads = 1, .head_dim = 2}, 1);
    kv.Append(kOps, x, x, 0);
    for (int64_t i = 0; i < 2; ++i) {
      EXPECT_EQ(kv.Element(0, 0, false, i), expected[Index(i)]) << KvTypeName(type);
      EXPECT_EQ(kv.Element(0, 0, true, i), expected[Index(i)]) << KvTypeName(type);
    }
  }
}

TEST(ReferenceAttention, TwoPositionsByHand) {
  // Scores of token 1: ln 3 and 0 after the scale of 1/2, so weights 3/4 and 1/4. Token 0 sees itself only.
  PagedKv kv({.type = KvType::kF32, .kv_heads = 1, .head_dim = 4}, 2);
  const float ln3 = std::log(3.0f);
  kv.Append(kOps, {1, 0, 0, 0, 0, 1, 0, 0}, {4, 8, 0, -4, 8, 0, 4, 4}, 0);
  const std::vector<float> q = {5, 6, 7, 8, 2 * ln3, 0, 1, 1};
  const std::vector<float> gate = {0, 0, 100, 0, 0, 100, 0, -100};
  std::vector<float> out(8);
  const AttentionArgs args = {.q = q.data(),
                              .gate = gate.data(),
                              .layout = kv.layout(),
                              .pages = kv.pages(),
                              .out = out.data(),
                              .partial = nullptr,
                              .scratch = nullptr,
                              .tokens = 2,
                              .start = 0,
                              .query_heads = 1,
                              .gate_token_stride = 4,
                              .gate_head_stride = 4,
                              .splits = 1,
                              .scale = 0.5f};
  kOps.attention(args, {0, args.items()});
  const std::vector<float> expected = {2, 4, 0, -2, 2.5f, 6, 0.5f, 0};
  for (size_t i = 0; i < 8; ++i) EXPECT_NEAR(out[i], expected[i], 1e-6) << i;
}

TEST(ReferenceAttention, QueryHeadsShareTheirKvHead) {
  // One position: every query head returns the value of KV head j / (Hq/Hkv), halved by the gate of zero.
  const AttentionShape shape = {.start = 0, .tokens = 1, .query_heads = 6, .kv_heads = 2, .head_dim = 4};
  AttentionProblem p(shape, 12);
  p.q_and_gate.assign(p.q_and_gate.size(), 0.0f);
  const std::vector<float> out = RunAttention(kOps, p);
  for (size_t head = 0; head < 6; ++head) {
    for (size_t i = 0; i < 4; ++i) EXPECT_FLOAT_EQ(out[head * 4 + i], p.v[head / 3 * 4 + i] / 2) << head;
  }
}

TEST(ReferenceAttention, EqualKeysAverageThePast) {
  // Keys all equal: the output of the token at position p is the mean of values 0 .. p, across page borders too.
  const AttentionShape shape = {.start = 0, .tokens = 140, .query_heads = 1, .kv_heads = 1, .head_dim = 2};
  AttentionProblem p(shape, 13);
  for (int i = 0; i < 140; ++i) p.v[2 * Index(i)] = p.v[2 * Index(i) + 1] = static_cast<float>(i);
  p.k.assign(p.k.size(), 1.0f);
  p.kv.Append(kOps, p.k, p.v, 0);
  p.q_and_gate.assign(p.q_and_gate.size(), 1000.0f);
  const std::vector<float> out = RunAttention(kOps, p);
  for (size_t t = 0; t < 140; ++t) EXPECT_FLOAT_EQ(out[2 * t], static_cast<float>(t) / 2);
}

TEST(ReferenceAttention, SplitsCombineToTheSame) {
  for (const int64_t splits : {2, 3, 7}) {  // 7 splits of 3 pages: four are empty
    AttentionShape shape = {.start = 120, .tokens = 12, .query_heads = 4, .kv_heads = 2, .head_dim = 8};
    const std::vector<float> whole = RunAttention(kOps, AttentionProblem(shape, 14));
    shape.splits = splits;
    const std::vector<float> split = RunAttention(kOps, AttentionProblem(shape, 14));
    EXPECT_TRUE(RelativeErrorWithin(split, whole, 8 * kUnit)) << shape;
  }
}

TEST(ReferenceAttention, OneShotEqualsChunkedCalls) {
  const AttentionShape shape = {.start = 60, .tokens = 20, .query_heads = 2, .kv_heads = 1, .head_dim = 8};
  const AttentionProblem p(shape, 15);
  const std::vector<float> whole = RunAttention(kOps, p);
  for (int64_t split = 1; split < shape.tokens; ++split) {
    std::vector<float> out(whole.size());
    for (const Range part : {Range{0, split}, Range{split, shape.tokens}}) {
      const AttentionArgs args = p.Args(part.begin, part.size(), out.data(), nullptr);
      kOps.attention(args, {0, args.items()});
    }
    EXPECT_TRUE(BitEqual<float>(out, whole)) << split;
  }
}

}  // namespace
}  // namespace qnext
