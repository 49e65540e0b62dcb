#include <gtest/gtest.h>

#include "bench/benchmark_report.h"
#include "bench/sample_report.h"

namespace qnext {
namespace {

TEST(FiguresOfTest, KnownTimes) {
  const CellFigures figures = FiguresOf(
      {EvenSample(0, 50, 101, 0.5, 0.1), EvenSample(1, 50, 101, 0.25, 0.2), EvenSample(2, 50, 101, 1, 0.125)});
  EXPECT_EQ(figures.decode_tokens_per_second.samples, 3);
  EXPECT_DOUBLE_EQ(figures.decode_tokens_per_second.median, 8);
  EXPECT_DOUBLE_EQ(figures.decode_tokens_per_second.min, 5);
  EXPECT_DOUBLE_EQ(figures.decode_tokens_per_second.max, 10);
  EXPECT_DOUBLE_EQ(figures.prefill_tokens_per_second.median, 100);
  EXPECT_DOUBLE_EQ(figures.first_token_percentiles.p50, 0.5);
  EXPECT_DOUBLE_EQ(figures.first_token_percentiles.p95, 0.95);
  EXPECT_DOUBLE_EQ(figures.inter_token_seconds.p50, 0.125);
  EXPECT_DOUBLE_EQ(figures.inter_token_seconds.p95, 0.2);
  EXPECT_NEAR(figures.slowest_window_tokens_per_second, 5, 1e-9);
  EXPECT_DOUBLE_EQ(figures.slowest_window_seconds, 10);
  EXPECT_FALSE(figures.places.has_value());
}

TEST(FiguresOfTest, PlacesAreSummed) {
  BenchmarkSample sample = SampleReport().cells[0].samples[1];
  const CellFigures figures = FiguresOf({sample, sample, EvenSample(9, 50, 3, 1, 1)});
  EXPECT_EQ(figures.places->hits, 1400);
  EXPECT_EQ(figures.places->steps, 4);
  EXPECT_DOUBLE_EQ(figures.places->step_seconds, 0.06);
  EXPECT_EQ(figures.places->expert_bytes, 1622016);
}

TEST(FiguresOfTest, NothingIsZero) {
  EXPECT_EQ(FiguresOf({}).decode_tokens_per_second.samples, 0);
  EXPECT_EQ(FiguresOf({}).slowest_window_tokens_per_second, 0);
}

TEST(VerdictTest, IsOfTheSlowestCellAndOfTheSlowestWindow) {
  BenchmarkReport report = SampleReport();
  EXPECT_DOUBLE_EQ(VerdictOf(report).median_tokens_per_second, 6.25);
  EXPECT_TRUE(*VerdictOf(report).reached);
  // A stall of a single run: the median stays, the window falls below 5.
  BenchmarkSample& sample = report.cells[1].samples[0];
  sample.measured.inter_token_seconds[50] = 6;
  const BenchmarkVerdict verdict = VerdictOf(report);
  EXPECT_DOUBLE_EQ(verdict.median_tokens_per_second, 6.25);
  EXPECT_NEAR(verdict.slowest_window_tokens_per_second, (1 + 4 / 0.16) / 10, 1e-9);
  EXPECT_DOUBLE_EQ(verdict.slowest_window_seconds, 10);
  EXPECT_FALSE(*verdict.reached);
}

TEST(VerdictTest, OnlyThe80BReachesTheTargetAndNothingMissesIt) {
  BenchmarkReport report = SampleReport();
  report.subject = Subject::kAnother;
  EXPECT_FALSE(VerdictOf(report).reached.has_value());
  report.subject = Subject::kUnknown;
  EXPECT_FALSE(VerdictOf(report).reached.has_value());
  report.subject = Subject::kThe80B;
  report.target_tokens_per_second = 6.5;
  EXPECT_FALSE(*VerdictOf(report).reached);
  report.cells.clear();  // warm-ups do not count
  EXPECT_FALSE(*VerdictOf(report).reached);
  EXPECT_EQ(VerdictOf(report).median_tokens_per_second, 0);
}

// Two kinds of prompts in turn; each token takes one percent longer by the hour, RAM grows by 1 MiB a request.
BenchmarkReport Stressed(int requests) {
  BenchmarkReport report;
  report.benchmark = "stress";
  report.cells = {{.kind = CellKind::kStress, .work = {50, 101}, .samples = {}},
                  {.kind = CellKind::kStress, .work = {1000, 101}, .samples = {}}};
  for (int i = 0; i < requests; ++i) {
    const double start = 90.0 * i;
    const bool is_long = i % 2 == 1;
    BenchmarkSample sample =
        EvenSample(i, is_long ? 1000 : 50, 101, is_long ? 2 : 0.1, (is_long ? 0.2 : 0.1) * (1 + 0.01 * start / 3600));
    sample.start_seconds = start;
    sample.measured.memory = MemoryReading{
        .ram_bytes = (int64_t{1} << 30) + (int64_t{i} << 20), .ram_peak_bytes = 0, .vram_bytes = std::nullopt};
    report.cells[is_long ? 1 : 0].samples.push_back(sample);
  }
  return report;
}

TEST(DriftTest, AMixOfPromptsIsNoDrift) {
  const Drift drift = DriftOf(Stressed(160)).value();
  EXPECT_EQ(drift.requests, 160);
  EXPECT_NEAR(drift.seconds, 90 * 159 + 2 + 0.2 * 100 * 1.03975, 1e-2);
  EXPECT_NEAR(drift.decode_change, -0.03, 1e-3);  // three of four hours lie between the middles of the quarters
  EXPECT_NEAR(*drift.decode_change_per_hour, -0.01, 2e-4);
  EXPECT_NEAR(drift.first_token_change, 0, 1e-12);
  EXPECT_EQ(drift.ram_change_bytes, int64_t{120} << 20);
  EXPECT_NEAR(*drift.ram_bytes_per_hour, 40.0 * (1 << 20), 1);
  EXPECT_FALSE(drift.vram_change_bytes.has_value());
}

TEST(DriftTest, AFewMinutesHaveNoRates) {
  BenchmarkReport report = Stressed(8);
  for (BenchmarkCell& cell : report.cells) {
    for (BenchmarkSample& sample : cell.samples) sample.start_seconds /= 10;
  }
  EXPECT_FALSE(DriftOf(report)->ram_bytes_per_hour.has_value());
  EXPECT_FALSE(DriftOf(report)->decode_change_per_hour.has_value());
}

TEST(DriftTest, NeedsRequestsAndAStressBenchmark) {
  EXPECT_FALSE(DriftOf(Stressed(7)).has_value());
  BenchmarkReport report = Stressed(160);
  report.benchmark = "standard";
  EXPECT_FALSE(DriftOf(report).has_value());
}

TEST(BurstCaveatTest, TokensInBurstsAreToldFromStalls) {
  BenchmarkReport report;
  report.cells = {{.kind = CellKind::kGrid, .work = {50, 9}, .samples = {BenchmarkSample{}}}};
  std::vector<double>& gaps = report.cells[0].samples[0].measured.inter_token_seconds;
  EXPECT_EQ(BurstCaveat(report), "");
  gaps = {0.05, 0.05, 0.06, 0.05, 0.04, 0.05, 0.05, 0.05};
  EXPECT_EQ(BurstCaveat(report), "");
  gaps[3] = 0.8;  // one stall
  EXPECT_EQ(BurstCaveat(report), "");
  gaps = {0.0001, 0.0001, 0.2, 0.0001, 0.0001, 0.2, 0.0001, 0.0001};
  const std::string caveat = BurstCaveat(report);
  EXPECT_NE(caveat.find("half of them are below 0.1 ms where the mean is 50.1 ms (50 prompt tokens)"),
            std::string::npos)
      << caveat;
  EXPECT_EQ(caveat.find('\n'), std::string::npos);
}

}  // namespace
}  // namespace qnext
