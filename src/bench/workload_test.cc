#include "bench/workload.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace qnext {
namespace {

TEST(WorkloadTest, CountsItsRuns) {
  EXPECT_EQ(QuickWorkload(5).runs(), 1 + 2 * 5);
  EXPECT_EQ(StandardWorkload(5).runs(), 10 + (12 + 8) * 5);
}

TEST(WorkloadTest, TheStandardBenchmark) {
  const Workload workload = StandardWorkload(5);
  std::set<std::pair<int64_t, int64_t>> grid;
  std::vector<int64_t> contexts;
  for (const PlannedCell& cell : workload.cells) {
    if (cell.kind == CellKind::kGrid) grid.insert({cell.work.prompt_tokens, cell.work.output_tokens});
    if (cell.kind == CellKind::kContext) contexts.push_back(cell.work.context());
  }
  EXPECT_EQ(grid.size(), 12u);
  for (const int64_t prompt : {50, 200, 500, 1000}) {
    for (const int64_t output : {100, 500, 1000}) EXPECT_TRUE(grid.contains({prompt, output})) << prompt << output;
  }
  EXPECT_EQ(contexts, (std::vector<int64_t>{2048, 4096, 8192, 16384, 32768, 65536, 131072, 262144}));
  EXPECT_TRUE(std::ranges::is_sorted(workload.cells, {}, &PlannedCell::tier));
  EXPECT_EQ(workload.cells.front().work.output_tokens, 100);
}

TEST(WorkloadTest, StressIsEndlessWithoutRounds) {
  EXPECT_TRUE(StressWorkload(0).endless);
  EXPECT_FALSE(StressWorkload(3).endless);
  EXPECT_EQ(StressWorkload(3).runs(), 1 + 4 * 3);
}

std::vector<int32_t> Counting(int32_t size) {
  std::vector<int32_t> text;
  for (int32_t i = 0; i < size; ++i) text.push_back(i);
  return text;
}

TEST(MakePromptTest, HasTheLengthAndIsOfTheText) {
  for (const int64_t tokens : {0, 1, 7, 8, 9, 50, 5000}) {
    const std::vector<int32_t> prompt = MakePrompt(Counting(40), tokens, Random(1));
    EXPECT_EQ(static_cast<int64_t>(prompt.size()), tokens);
    for (const int32_t id : prompt) EXPECT_TRUE(id >= 0 && id < 40);
  }
  EXPECT_EQ(MakePrompt({3}, 4, Random(1)), (std::vector<int32_t>{3, 3, 3, 3}));
}

TEST(MakePromptTest, SeedsDecideAndNoTwoPromptsBeginAlike) {
  EXPECT_EQ(MakePrompt(Counting(400), 100, Random(1, 2)), MakePrompt(Counting(400), 100, Random(1, 2)));
  std::set<std::vector<int32_t>> beginnings;
  for (uint64_t run = 0; run < 10000; ++run) {
    std::vector<int32_t> prompt = MakePrompt(Counting(400), 4, Random(7, run));
    beginnings.insert(std::move(prompt));
  }
  EXPECT_EQ(beginnings.size(), 10000u);
}

// After the beginning there is text: most ids follow the one before.
TEST(MakePromptTest, MostOfItIsText) {
  const std::vector<int32_t> prompt = MakePrompt(Counting(400), 1000, Random(3));
  int64_t followed = 0;
  for (size_t i = 1; i < prompt.size(); ++i) followed += prompt[i] == (prompt[i - 1] + 1) % 400;
  EXPECT_GT(followed, 930);
  EXPECT_LT(followed, 990);
}

TEST(BenchmarkTextTest, IsLongEnoughForTheShortPromptsAndPlainAscii) {
  EXPECT_GT(BenchmarkText().size(), 1500u);
  for (char c : BenchmarkText()) EXPECT_TRUE(c >= ' ' && c <= '~');
}

}  // namespace
}  // namespace qnext
