// The vectorised cache rows and attention against the reference.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "compare.h"
#include "kernels/attention_test_util.h"

namespace qnext {
namespace {

using namespace kernels_test;  // NOLINT: the helpers of this folder's tests

// The whole-tensor limit of docs/numerics.md: roundings add up like a random walk.
double TypicalError(const AttentionShape& s) {
  return 2 * std::sqrt(static_cast<double>(s.head_dim + s.start + s.tokens)) * kUnit;
}

void ExpectAgree(const AttentionShape& shape, uint32_t seed) {
  const AttentionProblem p(shape, seed);
  const std::vector<float> expected = RunAttention(ReferenceKernels(), p);
  const std::vector<double> bounds = AttentionErrorBounds(p);
  for (const Kernels& ops : FloatOpsUnderTest()) {
    SCOPED_TRACE(::testing::Message() << ops.name << " " << shape << " seed " << seed);
    const std::vector<float> actual = RunAttention(ops, p);
    EXPECT_TRUE(ElementsWithin(actual, expected, bounds));
    EXPECT_TRUE(RelativeErrorWithin(actual, expected, TypicalError(shape)));
    for (const Grouping grouping : kOtherGroupings) {
      EXPECT_TRUE(BitEqual<float>(RunAttention(ops, p, grouping), actual));
    }
  }
}

TEST(FloatOpsKvAppend, CacheContentEqualsTheReferences) {
  Random random(501);
  for (const KvType type : kAllKvTypes) {
    for (const int64_t head_dim : {5, 64, 72, 256}) {
      const KvLayout layout = {.type = type, .kv_heads = 3, .head_dim = head_dim};
      constexpr int64_t kStart = 50, kTokens = 90;
      std::vector<float> k = random.Normal(kTokens * 3 * head_dim), v = random.Normal(kTokens * 3 * head_dim);
      // Every magnitude, ties, both zeros, subnormals, and rows of zeros.
      for (size_t i = 0; i < k.size(); ++i) k[i] *= std::ldexp(1.0f, static_cast<int>(random.Uniform(-14, 12)));
      for (size_t i = 0; i < v.size(); i += 3) v[i] = std::round(v[i] * 16) / 32;
      for (size_t i = 0; i < Index(head_dim); ++i) v[i] = i % 2 == 0 ? 0.0f : -0.0f;
      v[Index(head_dim)] = std::numeric_limits<float>::denorm_min();
      v[Index(2 * head_dim)] = 1e30f;
      k[Index(head_dim)] = std::numeric_limits<float>::infinity();
      k[Index(2 * head_dim) + 1] = std::numeric_limits<float>::quiet_NaN();
      PagedKv expected(layout, kStart + kTokens);
      expected.Append(ReferenceKernels(), k, v, kStart);
      for (const Kernels& ops : FloatOpsUnderTest()) {
        for (const Grouping grouping : {Grouping::kWhole, Grouping::kRagged}) {
          PagedKv actual(layout, kStart + kTokens);
          const KvAppendArgs args = {
              .k = k.data(), .v = v.data(), .layout = layout, .pages = actual.pages(), .start = kStart};
          ForRanges(grouping, kTokens, [&](Range tokens) { ops.kv_append(args, tokens); });
          for (size_t i = 0; i < actual.num_pages(); ++i) {
            const auto a = actual.storage(i).span(), e = expected.storage(i).span();
            size_t differing = 0;
            for (size_t b = 0; b < a.size(); ++b) differing += a[b] != e[b];
            EXPECT_EQ(differing, 0u) << ops.name << " " << KvTypeName(type) << " Dh " << head_dim << " page " << i;
            EXPECT_TRUE(actual.storage(i).GuardsIntact()) << ops.name << " " << KvTypeName(type);
          }
        }
      }
    }
  }
}

TEST(FloatOpsAttention, RaggedShapesOfEveryType) {
  uint32_t seed = 510;
  for (const KvType type : kAllKvTypes) {
    ExpectAgree({.start = 0, .tokens = 1, .query_heads = 1, .kv_heads = 1, .head_dim = 64, .type = type}, ++seed);
    ExpectAgree({.start = 0, .tokens = 9, .query_heads = 3, .kv_heads = 3, .head_dim = 72, .type = type}, ++seed);
    ExpectAgree({.start = 31, .tokens = 35, .query_heads = 4, .kv_heads = 2, .head_dim = 80, .type = type}, ++seed);
    ExpectAgree({.start = 0, .tokens = 130, .query_heads = 5, .kv_heads = 1, .head_dim = 65, .type = type}, ++seed);
    ExpectAgree({.start = 200, .tokens = 3, .query_heads = 6, .kv_heads = 2, .head_dim = 128, .type = type}, ++seed);
    ExpectAgree({.start = 64, .tokens = 20, .query_heads = 20, .kv_heads = 1, .head_dim = 96, .type = type}, ++seed);
  }
}

TEST(FloatOpsAttention, RealShapes) {
  for (const KvType type : kAllKvTypes) {
    ExpectAgree({.start = 90, .tokens = 11, .query_heads = 16, .kv_heads = 2, .head_dim = 256, .type = type}, 540);
  }
  ExpectAgree({.start = 700, .tokens = 1, .query_heads = 16, .kv_heads = 2, .head_dim = 256, .splits = 4}, 541);
  ExpectAgree({.start = 0, .tokens = 40, .query_heads = 8, .kv_heads = 1, .head_dim = 512}, 542);
}

TEST(FloatOpsAttention, Splits) {
  uint32_t seed = 550;
  for (const int64_t splits : {2, 3, 8}) {  // with few pages some splits are empty
    for (const int64_t start : {0, 60, 127, 400}) {
      ExpectAgree({.start = start, .tokens = 10, .query_heads = 4, .kv_heads = 2, .head_dim = 64, .splits = splits},
                  ++seed);
    }
  }
}

TEST(FloatOpsAttention, HeadsOfAnySize) {
  // Beyond 256 dims fewer rows are in flight; a head of 4096, the most a configuration may have, leaves four.
  ExpectAgree({.start = 40, .tokens = 9, .query_heads = 6, .kv_heads = 1, .head_dim = 1000}, 580);
  ExpectAgree({.start = 120, .tokens = 3, .query_heads = 2, .kv_heads = 1, .head_dim = 4096, .splits = 2}, 581);
}

TEST(FloatOpsAttention, ATokensResultDoesNotDependOnItsCall) {
  // One call, single tokens, and calls cut anywhere: the same bits, with splits as well.
  for (const int64_t splits : {1, 3}) {
    const AttentionShape shape = {.start = 120,
                                  .tokens = 21,
                                  .query_heads = 4,
                                  .kv_heads = 2,
                                  .head_dim = 80,
                                  .type = KvType::kBF16,
                                  .splits = splits};
    const AttentionProblem p(shape, 570);
    for (const Kernels& ops : FloatOpsUnderTest()) {
      const std::vector<float> whole = RunAttention(ops, p);
      for (const int64_t step : {1, 2, 5, 8, 13}) {
        std::vector<float> out(whole.size()), partial(Index(p.partial_floats()));
        for (int64_t t = 0; t < shape.tokens; t += step) {
          AttentionArgs args = p.Args(t, std::min(step, shape.tokens - t), out.data(), partial.data());
          std::vector<float> scratch(Index(args.scratch_floats()));
          args.scratch = scratch.data();
          ops.attention(args, {0, args.items()});
          if (splits > 1) ops.attention_combine(args, {0, args.tokens * shape.query_heads});
        }
        EXPECT_TRUE(BitEqual<float>(out, whole)) << ops.name << " step " << step << " splits " << splits;
      }
    }
  }
}

TEST(FloatOpsAttention, LaterTokensAndUnwrittenSlotsAreNeverSeen) {
  // The last token's K and V are NaN, as the rest of the pages is: earlier tokens of the same block do not notice.
  const AttentionShape shape = {.start = 3, .tokens = 8, .query_heads = 4, .kv_heads = 2, .head_dim = 64};
  AttentionProblem p(shape, 571);
  for (const Kernels& ops : FloatOpsUnderTest()) {
    const AttentionProblem clean(shape, 571);
    const std::vector<float> expected = RunAttention(ops, clean);
    const size_t row = Index(shape.kv_heads * shape.head_dim);
    const std::vector<float> nan(row, std::numeric_limits<float>::quiet_NaN());
    p.kv.Append(ops, nan, nan, shape.start + shape.tokens - 1);
    const std::vector<float> actual = RunAttention(ops, p);
    const size_t earlier = Index((shape.tokens - 1) * shape.query_heads * shape.head_dim);
    EXPECT_TRUE(BitEqual<float>(std::span(actual).first(earlier), std::span(expected).first(earlier))) << ops.name;
    for (size_t i = earlier; i < actual.size(); ++i) EXPECT_TRUE(std::isnan(actual[i])) << ops.name << " " << i;
  }
}

TEST(FloatOpsAttention, LargeScoresStayFinite) {
  // Scores of thousands, rising and falling: the running maximum must carry them.
  const AttentionShape shape = {.start = 0, .tokens = 100, .query_heads = 2, .kv_heads = 1, .head_dim = 64};
  AttentionProblem p(shape, 572);
  for (float& x : p.q) x *= 40;
  for (size_t i = 0; i < p.k.size(); ++i) p.k[i] *= 40;
  p.kv.Append(ReferenceKernels(), p.k, p.v, 0);
  const std::vector<float> expected = RunAttention(ReferenceKernels(), p);
  const std::vector<double> bounds = AttentionErrorBounds(p);
  for (const Kernels& ops : FloatOpsUnderTest()) {
    EXPECT_TRUE(ElementsWithin(RunAttention(ops, p), expected, bounds)) << ops.name;
  }
}

}  // namespace
}  // namespace qnext
