#include "cli/eval_statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace qnext {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

TEST(PlanWindowsTest, EveryTokenButTheFirstOnceWithEnoughBeforeIt) {
  for (const int64_t tokens : {2, 3, 9, 10, 11, 100}) {
    for (const int64_t window : {2, 3, 10, 200}) {
      for (int64_t stride = 1; stride < window; stride += 2) {
        int64_t next = 1;
        for (const TextWindow& one : PlanWindows(tokens, window, stride)) {
          EXPECT_EQ(one.first_scored, next);
          EXPECT_LE(one.end - one.begin, window);
          EXPECT_GT(one.end, one.first_scored);
          EXPECT_GE(one.first_scored - one.begin, one.begin == 0 ? 1 : window - stride);
          next = one.end;
        }
        EXPECT_EQ(next, tokens) << window << " " << stride;
      }
    }
  }
}

TEST(MeanOfTest, ByHand) {
  // Mean 3; blocks (1, 2) and (3, 6) are off by -3 and 3: sqrt(2 / 1 * (9 + 9)) / 4.
  const std::vector<double> values = {1, 2, 3, 6};
  const MeanWithError two = MeanOf(values, 2);
  EXPECT_DOUBLE_EQ(two.mean, 3);
  EXPECT_DOUBLE_EQ(two.standard_error.value(), 1.5);
  // Blocks of one are the textbook's error of a mean: sqrt(sum of squares / (4 * 3)).
  EXPECT_DOUBLE_EQ(MeanOf(values, 1).standard_error.value(), std::sqrt((4.0 + 1 + 0 + 9) / 12));
  EXPECT_FALSE(MeanOf(values, 4).standard_error);
  // A short last block counts with what it has: blocks of three and one, off by -3 and 3.
  EXPECT_DOUBLE_EQ(MeanOf(values, 3).standard_error.value(), 1.5);
}

TEST(LogSumTest, ValuesAndBrokenModels) {
  EXPECT_DOUBLE_EQ(LogSum(std::vector<float>{1000, 1000}).value(), 1000 + std::log(2.0));
  EXPECT_DOUBLE_EQ(LogSum(std::vector<float>{-kInf, 3}).value(), 3);
  EXPECT_EQ(LogSum(std::vector<float>{0, kNan}).status().code(), StatusCode::kInternal);
  EXPECT_EQ(LogSum(std::vector<float>{0, kInf}).status().code(), StatusCode::kInternal);
  EXPECT_EQ(LogSum(std::vector<float>{-kInf, -kInf}).status().code(), StatusCode::kInternal);
}

TEST(CompareTest, ByHand) {
  // 1/2, 1/4, 1/4 against 1/4, 1/2, 1/4: 1/2 ln 2 - 1/4 ln 2.
  const auto log = [](double p) { return static_cast<float>(std::log(p)); };
  const std::vector<float> first = {log(0.5), log(0.25), log(0.25)}, second = {log(0.25), log(0.5), log(0.25)};
  const Result<Divergence> divergence = Compare(first, second);
  ASSERT_TRUE(divergence.ok());
  EXPECT_NEAR(divergence->kl, 0.25 * std::log(2.0), 1e-7);
  EXPECT_FALSE(divergence->same_top1);
  EXPECT_DOUBLE_EQ(divergence->top5_overlap, 1);  // three tokens in all
}

TEST(CompareTest, EqualLogitsAreExactlyNothingApart) {
  std::vector<float> logits;
  for (int i = 0; i < 5000; ++i) logits.push_back(std::sin(static_cast<float>(i)) * 13);
  logits[7] = -kInf;
  EXPECT_EQ(Compare(logits, logits)->kl, 0);
  // Of a shift of all logits nothing can be said but rounding.
  std::vector<float> shifted = logits;
  for (float& logit : shifted) logit += 16;
  EXPECT_LT(Compare(logits, shifted)->kl, 1e-6);
  EXPECT_GE(Compare(logits, shifted)->kl, 0);
}

TEST(CompareTest, OverlapAndExclusion) {
  const std::vector<float> first = {9, 8, 7, 6, 5, 4, 3}, second = {9, 8, 7, 3, 4, 5, 6};
  EXPECT_TRUE(Compare(first, second)->same_top1);
  EXPECT_DOUBLE_EQ(Compare(first, second)->top5_overlap, 0.6);
  EXPECT_EQ(Compare(std::vector<float>{1, 1}, std::vector<float>{1, -kInf}).status().code(), StatusCode::kInternal);
  EXPECT_TRUE(Compare(std::vector<float>{1, -kInf}, std::vector<float>{1, 1}).ok());
}

TEST(TopIdsTest, TiesByRisingId) {
  EXPECT_EQ(TopIds(std::vector<float>{1, 3, 3, 2, 3, 0, 5}), (std::array<int32_t, kTop>{6, 1, 2, 4, 3}));
  EXPECT_EQ(TopIds(std::vector<float>{1, 2}), (std::array<int32_t, kTop>{1, 0, -1, -1, -1}));
}

}  // namespace
}  // namespace qnext
