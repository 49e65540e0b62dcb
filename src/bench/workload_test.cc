#include "bench/workload.h"

#include <gtest/gtest.h>

#include <set>

namespace qnext {
namespace {

TEST(WorkloadTest, CountsItsRuns) { EXPECT_EQ(QuickWorkload(5).runs(), 1 + 2 * 5); }

TEST(MakePromptTest, HasTheLengthAndGoesAroundTheEnd) {
  EXPECT_EQ(MakePrompt({1, 2, 3}, 7, 0), (std::vector<int32_t>{1, 2, 3, 1, 2, 3, 1}));
  EXPECT_EQ(MakePrompt({1, 2, 3}, 2, 1), (std::vector<int32_t>{2, 3}));  // 37 % 3 == 1
  EXPECT_TRUE(MakePrompt({1}, 0, 0).empty());
}

TEST(MakePromptTest, RunsBeginInDifferentPlaces) {
  std::vector<int32_t> text(400);
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<int32_t>(i);
  std::set<int32_t> starts;
  for (int64_t run = 0; run < 100; ++run) starts.insert(MakePrompt(text, 1, run)[0]);
  EXPECT_EQ(starts.size(), 100u);
}

TEST(BenchmarkTextTest, IsLongEnoughForTheShortPromptsAndPlainAscii) {
  EXPECT_GT(BenchmarkText().size(), 1500u);
  for (char c : BenchmarkText()) EXPECT_TRUE(c >= ' ' && c <= '~');
}

}  // namespace
}  // namespace qnext
