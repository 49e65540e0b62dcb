#include "bench/runner.h"

#include <gtest/gtest.h>

namespace qnext {
namespace {

// Takes `prompt_tokens` milliseconds to the first token and 10 ms for each that follows; the third run is twice as
// slow.
class PaperTarget : public Target {
 public:
  Result<RunSample> Run(const WorkloadCase& work, int64_t run) override {
    runs.push_back(work.prompt_tokens);
    if (run == fail_at) return Unavailable("out of paper");
    const int64_t slowness = run == 2 ? 2 : 1;
    RequestTimeline timeline(SteadyTime{});
    timeline.Start(SteadyTime{}, work.prompt_tokens);
    auto now = SteadyTime(std::chrono::milliseconds(work.prompt_tokens * slowness));
    for (int64_t i = 0; i < work.output_tokens - missing; ++i, now += std::chrono::milliseconds(10 * slowness)) {
      timeline.AddToken(now);
    }
    return RunSample{.summary = timeline.Summarize(), .inter_token_seconds = timeline.InterTokenSeconds()};
  }

  std::vector<int64_t> runs;
  int64_t fail_at = -1;
  int64_t missing = 0;
};

const Workload kTwoCases{
    .name = "two",
    .warmups = 1,
    .repetitions = 3,
    .cases = {{.prompt_tokens = 50, .output_tokens = 11}, {.prompt_tokens = 200, .output_tokens = 21}}};

TEST(RunWorkloadTest, RunsCasesInTurnAfterTheWarmUp) {
  PaperTarget target;
  std::vector<std::string> said;
  RunnerOptions options;
  options.progress = [&](int64_t step, int64_t steps, const std::string& what) {
    said.push_back(std::to_string(step) + "/" + std::to_string(steps) + " " + what);
  };
  const Result<LoadResult> result = RunWorkload(target, kTwoCases, options);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(target.runs, (std::vector<int64_t>{50, 50, 200, 50, 200, 50, 200}));
  EXPECT_EQ(said.front(), "1/7 warm-up: 50 tokens of prompt, 11 of output");
  EXPECT_EQ(said.back(), "7/7 run: 200 tokens of prompt, 21 of output");
  ASSERT_EQ(result->cases.size(), 2u);
  EXPECT_EQ(result->cases[0].samples.size(), 3u);
  EXPECT_FALSE(result->cut_short);
}

TEST(RunWorkloadTest, FiguresOfKnownTimes) {
  PaperTarget target;
  const LoadResult result = RunWorkload(target, kTwoCases, {}).value();
  const CaseFigures figures = FiguresOf(result.cases[1]);  // runs 2, 4 and 6; run 2 is the slow one
  EXPECT_DOUBLE_EQ(figures.first_token_seconds.median, 0.2);
  EXPECT_DOUBLE_EQ(figures.first_token_seconds.max, 0.4);
  EXPECT_DOUBLE_EQ(figures.prefill_tokens_per_second.median, 1000);
  EXPECT_DOUBLE_EQ(figures.prefill_tokens_per_second.min, 500);
  EXPECT_NEAR(figures.decode_tokens_per_second.median, 100, 1e-9);
  EXPECT_NEAR(figures.decode_tokens_per_second.min, 50, 1e-9);
  EXPECT_NEAR(figures.inter_token_median_seconds, 0.01, 1e-12);
  EXPECT_NEAR(figures.inter_token_p95_seconds, 0.02, 1e-12);
}

TEST(RunWorkloadTest, TheTimeLimitKeepsOneSampleOfEachCase) {
  PaperTarget target;
  RunnerOptions options;
  double now = 0;
  options.seconds = [&] { return now += 100; };
  options.time_limit_seconds = 1;
  const LoadResult result = RunWorkload(target, kTwoCases, options).value();
  EXPECT_TRUE(result.cut_short);
  EXPECT_EQ(result.cases[0].samples.size(), 1u);
  EXPECT_EQ(result.cases[1].samples.size(), 1u);
}

TEST(RunWorkloadTest, AFailedRunIsTheResult) {
  PaperTarget target;
  target.fail_at = 4;
  EXPECT_EQ(RunWorkload(target, kTwoCases, {}).status().message(), "out of paper");
}

TEST(RunWorkloadTest, ARunOfAnotherLengthIsAnError) {
  PaperTarget target;
  target.missing = 1;
  EXPECT_EQ(RunWorkload(target, kTwoCases, {}).status().message(),
            "warm-up: 50 tokens of prompt, 11 of output: the target ran 50 tokens of prompt and 10 of output");
}

}  // namespace
}  // namespace qnext
