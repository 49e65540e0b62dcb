// BenchmarkReport: everything that a benchmark found out and everything that is needed to judge it, as a value; and the
// figures that follow from it. report.json holds all of it (benchmark_json.h), the readable forms are made from it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bench/facts.h"
#include "bench/statistics.h"
#include "bench/target.h"
#include "bench/workload.h"

namespace qnext {

// Whether the model that was measured is the one that the target is for.
enum class Subject : uint8_t {
  kUnknown,  // another program's, over HTTP
  kThe80B,
  kAnother,
};

enum class SamplePhase : uint8_t {
  kCold,    // the first run after loading: no expert has been copied, no page touched
  kWarmUp,  // runs before those that count; the first of them too where the target was running before (HTTP)
  kWarm,
};

struct BenchmarkSample {
  SamplePhase phase = SamplePhase::kWarm;
  int64_t run = 0;           // numbered from 0 over all runs of the benchmark
  int64_t session = 0;       // 0; more where an interrupted benchmark was taken up again
  double start_seconds = 0;  // since the benchmark's first run began; the time between sessions is left out
  RunSample measured;
};

struct BenchmarkCell {
  CellKind kind = CellKind::kGrid;
  WorkloadCase work;
  int64_t wanted_runs = 0;               // 0: as many as there is time for (stress)
  std::vector<BenchmarkSample> samples;  // kWarm, in the order in which they were run
};

// What was not run, or less often than wanted.
struct LeftOut {
  CellKind kind = CellKind::kGrid;
  WorkloadCase work;
  int64_t runs = 0, wanted_runs = 0;
  std::string why;  // "would take about 40 s, 12 s were left"
};

// A part of the memory; what was planned before anything was loaded against what is there. Absent: not known.
struct MemoryComponent {
  std::string name;  // "routed experts"; "total" for the sum of a place, the only one that a system measures as a whole
  std::string place;  // "VRAM", "RAM"
  std::optional<int64_t> planned_bytes, measured_bytes;
};

// The budgets of the run; absent: none was known.
struct MemoryBudgets {
  std::optional<int64_t> vram_bytes, ram_bytes;
};

// A configuration of the memory benchmark's sweep: predicted by `qnext plan`'s library from rates, not measured.
struct ConfigurationPoint {
  std::vector<std::pair<std::string, std::string>> options;  // {"--vram", "8GiB"}
  bool this_run = false;                                     // the options (nearly) are those of the run
  bool fits = false;
  std::string why_not;                      // where it does not
  int64_t vram_bytes = 0, ram_bytes = 0;    // planned
  int64_t cached_experts = 0, experts = 0;  // copies in VRAM, and all there are
  // Where it fits. Decode at a short context, routing skewed in time as a real router's ("recency"), and without skew.
  double decode_tokens_per_second = 0, uniform_tokens_per_second = 0;
  double hit_share = 0, uniform_hit_share = 0;
  double miss_seconds = 0, gpu_seconds = 0, overhead_seconds = 0;  // of a decoded token, recency
  std::optional<double> prefill_tokens_per_second;                 // of the longest prompt that was looked at
  bool fastest = false;                                            // of those with this --vram that fit
};

struct Sweep {
  std::string rates;  // whose: "laptop", the path of a machine.json
  std::vector<ConfigurationPoint> points;
};

struct BenchmarkReport {
  std::string benchmark;  // "quick", "standard", "stress", "memory"
  std::string date;       // of the last session's end; ISO 8601, UTC
  Subject subject = Subject::kUnknown;
  bool over_http = false;
  std::string simulated_routing;          // "uniform, 8.99 bits ..."; empty: the routers decide, or nobody knows
  double target_tokens_per_second = 5;    // decode speed wanted of the 80B
  std::vector<std::string> caveats;       // what must be read together with the verdict
  std::vector<BenchmarkSample> warm_ups;  // kCold, kWarmUp: of the first cell, not part of its figures
  std::vector<BenchmarkCell> cells;       // in the order in which they are shown
  std::vector<LeftOut> left_out;
  double seconds = 0;     // that the runs took, all sessions together
  double time_limit = 0;  // of the last session; 0: none
  MemoryBudgets budgets;
  std::vector<MemoryComponent> memory;  // empty for a target that is not this process
  Sweep sweep;                          // benchmark "memory"; without points in others
  std::vector<FactGroup> facts;         // machine, build, model, options, server
};

struct Percentiles {
  double p50 = 0, p95 = 0, p99 = 0;
};

// The figures of a cell over its samples; all zero without any.
struct CellFigures {
  Spread decode_tokens_per_second;
  Spread prefill_tokens_per_second;
  Spread first_token_seconds;
  Percentiles inter_token_seconds;      // over the tokens of all samples together
  Percentiles first_token_percentiles;  // over the samples
  // The slowest 10 s of decoding of any sample; of samples that decode for less, all of it.
  double slowest_window_tokens_per_second = 0;
  double slowest_window_seconds = 0;     // how long that is
  std::optional<PlaceTelemetry> places;  // summed over the samples; sizes are the last one's
};
CellFigures FiguresOf(const std::vector<BenchmarkSample>& samples);

// What the stakeholder asked. Values are 0 where nothing was measured.
struct BenchmarkVerdict {
  double median_tokens_per_second = 0;          // of the cell with the lowest median decode speed
  double slowest_window_tokens_per_second = 0;  // of all cells' samples
  double slowest_window_seconds = 0;  // how long that window is: less than kWindow where its sample decodes for less
  std::optional<bool>
      reached;  // both at least the target; absent where the model is not the 80B. False without samples

  static constexpr double kWindow = 10;  // seconds
};
BenchmarkVerdict VerdictOf(const BenchmarkReport& report);

// Change over the time of back-to-back requests (rates per hour only from ten minutes on; before, they are noise): the
// last quarter of the requests against the first. A request's speed is taken relative to the median of its own cell, so
// that a mix of prompts is no drift.
struct Drift {
  int64_t requests = 0;
  double seconds = 0;                            // from the first request's start to the last one's end
  double decode_change = 0;                      // -0.02: two percent slower at the end
  double first_token_change = 0;                 // 0.02: two percent later at the end
  std::optional<double> decode_change_per_hour;  // slope of a straight line through all requests; see below
  std::optional<int64_t> ram_change_bytes, vram_change_bytes;  // medians of the quarters; absent: not known
  std::optional<double> ram_bytes_per_hour;                    // the same
};
// Of the warm samples of all cells of a stress benchmark together; absent for others, and below 8 samples.
std::optional<Drift> DriftOf(const BenchmarkReport& report);

// A sentence for the caveats where tokens came in bursts, so that their times say how a client, a server or a network
// schedules and not how long a token takes; empty where they did not.
std::string BurstCaveat(const BenchmarkReport& report);

std::string_view SubjectName(Subject subject);  // "unknown", "80b", "another"
std::string_view PhaseName(SamplePhase phase);  // "cold", "warm-up", "warm"

}  // namespace qnext
