#include "bench/benchmark_runner.h"

#include <gtest/gtest.h>

namespace qnext {
namespace {

// Takes `prompt_tokens` milliseconds to the first token and 10 ms for each that follows; run 2 is twice as slow. Its
// time passes only here.
class PaperTarget : public Target {
 public:
  Result<RunSample> Run(const WorkloadCase& work, int64_t run) override {
    runs.push_back(work.context());
    if (run == fail_at) return Unavailable("out of paper");
    const int64_t slowness = run == 2 ? 2 : 1;
    RequestTimeline timeline(SteadyTime{});
    timeline.Start(SteadyTime{}, work.prompt_tokens);
    auto token = SteadyTime(std::chrono::milliseconds(work.prompt_tokens * slowness));
    for (int64_t i = 0; i < work.output_tokens - missing; ++i, token += std::chrono::milliseconds(10 * slowness)) {
      timeline.AddToken(token);
    }
    RunSample sample{.summary = timeline.Summarize(), .inter_token_seconds = timeline.InterTokenSeconds()};
    sample.cached_prompt_tokens = cached;
    now += sample.summary.total_seconds;
    return sample;
  }

  double now = 1000;
  std::vector<int64_t> runs;  // by prompt and output together
  int64_t fail_at = -1;
  int64_t missing = 0, cached = 0;
};

// A run of the first takes 0.15 s, of the second 0.4 s.
Workload TwoCells() {
  return {.name = "two",
          .warm_ups = 1,
          .cells = {{.work = {.prompt_tokens = 50, .output_tokens = 11}, .runs = 3},
                    {.work = {.prompt_tokens = 200, .output_tokens = 21}, .runs = 3}}};
}

BenchmarkRunOptions Options(PaperTarget& target, double limit = 0) {
  BenchmarkRunOptions options;
  options.seconds = [&target] { return target.now; };
  options.time_limit_seconds = limit;
  return options;
}

TEST(RunBenchmarkTest, RunsCellsInTurnAfterTheWarmUp) {
  PaperTarget target;
  BenchmarkRunOptions options = Options(target);
  std::vector<std::string> said;
  options.starts_cold = true;
  options.progress = [&](const RunProgress& now) {
    said.push_back(std::to_string(now.step) + "/" + std::to_string(now.steps) + " " + now.what);
  };
  const BenchmarkRun run = RunBenchmark(target, TwoCells(), options).value();
  EXPECT_EQ(target.runs, (std::vector<int64_t>{61, 61, 221, 61, 221, 61, 221}));
  EXPECT_EQ(said.front(), "1/7 cold: 50 tokens of prompt, 11 of output");
  EXPECT_EQ(said.back(), "7/7 run: 200 tokens of prompt, 21 of output");
  ASSERT_EQ(run.cells.size(), 2u);
  EXPECT_EQ(run.cells[0].samples.size(), 3u);
  EXPECT_EQ(run.warm_ups.at(0).phase, SamplePhase::kCold);
  EXPECT_TRUE(run.left_out.empty());
  EXPECT_NEAR(run.seconds, 0.15 + 3 * 0.55 + 0.4, 1e-9);  // run 2 takes twice as long
  EXPECT_NEAR(run.cells[0].samples[0].start_seconds, 0.15, 1e-9);
  EXPECT_EQ(run.cells[1].samples[2].run, 6);
  // Runs 2, 4 and 6 are the second cell's, and 2 the slow one.
  const CellFigures figures = FiguresOf(run.cells[1].samples);
  EXPECT_DOUBLE_EQ(figures.first_token_seconds.median, 0.2);
  EXPECT_DOUBLE_EQ(figures.first_token_seconds.max, 0.4);
  EXPECT_DOUBLE_EQ(figures.prefill_tokens_per_second.min, 500);
  EXPECT_NEAR(figures.decode_tokens_per_second.median, 100, 1e-9);
  EXPECT_NEAR(figures.decode_tokens_per_second.min, 50, 1e-9);
}

TEST(RunBenchmarkTest, AServersFirstRunIsNotCold) {
  PaperTarget target;
  EXPECT_EQ(RunBenchmark(target, TwoCells(), Options(target))->warm_ups.at(0).phase, SamplePhase::kWarmUp);
}

TEST(RunBenchmarkTest, ATierIsDoneBeforeTheNext) {
  PaperTarget target;
  Workload workload = TwoCells();
  workload.cells[1].tier = 1;
  ASSERT_TRUE(RunBenchmark(target, workload, Options(target)).ok());
  EXPECT_EQ(target.runs, (std::vector<int64_t>{61, 61, 61, 61, 221, 221, 221}));
}

// 0.15 of warm-up, 0.15 + 0.8 of the first round leave 0.35 of 1.45 s: not enough for what took 0.8 s.
TEST(RunBenchmarkTest, WhatWouldNotEndInTimeIsLeftOutWithItsReason) {
  PaperTarget target;
  const BenchmarkRun run = RunBenchmark(target, TwoCells(), Options(target, 1.45)).value();
  EXPECT_EQ(target.runs, (std::vector<int64_t>{61, 61, 221, 61, 61}));
  ASSERT_EQ(run.left_out.size(), 1u);
  EXPECT_EQ(run.left_out[0].work.prompt_tokens, 200);
  EXPECT_EQ(run.left_out[0].runs, 1);
  EXPECT_EQ(run.left_out[0].wanted_runs, 3);
  EXPECT_EQ(run.left_out[0].why, "would take about 0.8 s, 0.05 s of the time limit were left");
}

// What was never run is judged by the rates of what was.
TEST(RunBenchmarkTest, ACellThatWasNeverRunIsForeseen) {
  PaperTarget target;
  Workload workload = TwoCells();
  workload.cells.push_back({.kind = CellKind::kContext, .work = {8000, 100}, .runs = 3, .tier = 1});
  const BenchmarkRun run = RunBenchmark(target, workload, Options(target, 5)).value();
  ASSERT_EQ(run.left_out.size(), 1u);
  EXPECT_EQ(run.left_out[0].kind, CellKind::kContext);
  EXPECT_EQ(run.left_out[0].runs, 0);
  EXPECT_EQ(run.left_out[0].why, "would take about 9 s, 2.8 s of the time limit were left");
  EXPECT_EQ(run.cells.size(), 2u);
}

TEST(RunBenchmarkTest, AWorkloadMayAskForEveryCellOnce) {
  PaperTarget target;
  Workload workload = TwoCells();
  workload.every_cell_once = true;
  const BenchmarkRun run = RunBenchmark(target, workload, Options(target, 0.01)).value();
  EXPECT_EQ(target.runs, (std::vector<int64_t>{61, 61, 221}));
  EXPECT_EQ(run.left_out.size(), 2u);
  EXPECT_EQ(run.left_out[0].why, "the time limit of 0.01 s was over");
}

TEST(RunBenchmarkTest, WarmUpsTakeAtMostAQuarterOfTheTime) {
  PaperTarget target;
  Workload workload = TwoCells();
  workload.warm_ups = 10;
  const BenchmarkRun run = RunBenchmark(target, workload, Options(target, 2.5)).value();
  EXPECT_EQ(run.warm_ups.size(), 3u);  // 0.6 s, as the third is slow, and the next would lead beyond 0.625
}

TEST(RunBenchmarkTest, ACellBeyondTheContextIsLeftOut) {
  PaperTarget target;
  BenchmarkRunOptions options = Options(target);
  options.context = 100;
  const BenchmarkRun run = RunBenchmark(target, TwoCells(), options).value();
  EXPECT_EQ(target.runs, (std::vector<int64_t>{61, 61, 61, 61}));
  EXPECT_EQ(run.left_out.at(0).why, "needs a context of 221 tokens, and there are 100");
  EXPECT_EQ(run.cells.size(), 1u);
}

TEST(RunBenchmarkTest, ThreeLongSamplesAreEnough) {
  PaperTarget target;
  Workload workload = TwoCells();
  workload.cells = {{.work = {31000, 5}, .runs = 5}, {.work = {50, 11}, .runs = 5}};
  const BenchmarkRun run = RunBenchmark(target, workload, Options(target)).value();
  ASSERT_EQ(run.cells.size(), 2u);
  EXPECT_EQ(run.cells[0].work.prompt_tokens, 31000);
  EXPECT_EQ(run.cells[0].samples.size(), 3u);
  EXPECT_EQ(run.cells[1].samples.size(), 5u);
  EXPECT_TRUE(run.left_out.empty());
}

TEST(RunBenchmarkTest, AnEndlessOneGoesRoundUntilTheTimeIsOver) {
  PaperTarget target;
  Workload workload = TwoCells();
  workload.endless = true;
  for (PlannedCell& cell : workload.cells) cell.runs = 0;
  const BenchmarkRun run = RunBenchmark(target, workload, Options(target, 2)).value();
  EXPECT_EQ(target.runs, (std::vector<int64_t>{61, 61, 221, 61, 221, 61, 221}));
  EXPECT_GE(run.seconds, 2);
  EXPECT_TRUE(run.left_out.empty());
}

TEST(RunBenchmarkTest, AnInterruptedOneIsTakenUp) {
  PaperTarget target;
  target.fail_at = 4;
  std::vector<LoggedSample> kept;
  BenchmarkRunOptions options = Options(target);
  options.starts_cold = true;
  options.keep = [&](const LoggedSample& sample) {
    kept.push_back(sample);
    return Status();
  };
  EXPECT_EQ(RunBenchmark(target, TwoCells(), options).status().message(), "out of paper");
  ASSERT_EQ(kept.size(), 4u);

  PaperTarget again;
  options.seconds = [&] { return again.now; };
  options.before = kept;
  const BenchmarkRun run = RunBenchmark(again, TwoCells(), options).value();
  // A warm-up of its own, then what was missing.
  EXPECT_EQ(again.runs, (std::vector<int64_t>{61, 221, 61, 221}));
  EXPECT_EQ(run.warm_ups.size(), 2u);
  EXPECT_EQ(run.warm_ups[1].session, 1);
  EXPECT_EQ(run.cells[0].samples.size(), 3u);
  EXPECT_EQ(run.cells[1].samples.size(), 3u);
  EXPECT_EQ(run.cells[1].samples[0].session, 0);
  EXPECT_EQ(run.cells[1].samples[1].session, 1);
  EXPECT_GT(run.cells[1].samples[1].run, 3);
  EXPECT_NEAR(run.seconds, 0.15 * 2 + 0.8 + 0.15 + 0.15 + 0.4 + 0.15 + 0.4, 1e-9);

  // All of it: nothing is run.
  PaperTarget idle;
  options.seconds = [&] { return idle.now; };
  options.before = kept;
  ASSERT_EQ(kept.size(), 8u);
  EXPECT_EQ(RunBenchmark(idle, TwoCells(), options)->cells[1].samples.size(), 3u);
  EXPECT_TRUE(idle.runs.empty());
}

TEST(RunBenchmarkTest, WhatCannotBeKeptEndsIt) {
  PaperTarget target;
  BenchmarkRunOptions options = Options(target);
  options.keep = [](const LoggedSample&) { return Unavailable("the disk is full"); };
  EXPECT_EQ(RunBenchmark(target, TwoCells(), options).status().message(), "the disk is full");
}

TEST(RunBenchmarkTest, ARunOfAnotherLengthIsAnError) {
  PaperTarget target;
  target.missing = 1;
  EXPECT_EQ(RunBenchmark(target, TwoCells(), Options(target)).status().message(),
            "warm-up: 50 tokens of prompt, 11 of output: the target ran 50 tokens of prompt and 10 of output");
}

TEST(RunBenchmarkTest, APromptFromACacheIsAnError) {
  PaperTarget target;
  target.cached = 4;
  EXPECT_TRUE(RunBenchmark(target, TwoCells(), Options(target)).ok());
  target.cached = 5;
  EXPECT_EQ(RunBenchmark(target, TwoCells(), Options(target)).status().message(),
            "warm-up: 50 tokens of prompt, 11 of output: 5 tokens of the prompt came from a cache, so its speed is not "
            "that of a new prompt; turn the cache off, or restart the server");
}

}  // namespace
}  // namespace qnext
