// Runs a workload against a target and keeps every sample.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "bench/benchmark_report.h"
#include "bench/target.h"
#include "bench/workload.h"

namespace qnext {

// A sample together with what was asked for.
struct LoggedSample {
  CellKind kind = CellKind::kGrid;
  WorkloadCase work;
  BenchmarkSample sample;
};

// What the next run is, before it begins.
struct RunProgress {
  int64_t step = 0, steps = 0;  // of 1..steps; 0: endless
  double seconds = 0;           // since the session's first run began
  double time_limit = 0;        // 0: none
  std::string what;             // "run: 50 tokens of prompt, 100 of output"
};

struct BenchmarkRunOptions {
  double time_limit_seconds = 0;     // of this session, from its first run on; 0: none
  std::optional<int64_t> context;    // cells that need more tokens are left out
  bool starts_cold = false;          // the target was loaded just now
  std::vector<LoggedSample> before;  // of earlier sessions of the same benchmark
  // Before each run, and after it: an error of `keep` ends the benchmark. Both may be empty.
  std::function<void(const RunProgress&)> progress;
  std::function<Status(const LoggedSample&)> keep;
  std::function<double()> seconds;  // a clock, for tests; empty: the steady clock
};

struct BenchmarkRun {
  std::vector<BenchmarkSample> warm_ups;
  std::vector<BenchmarkCell> cells;  // grid by prompt and output, then contexts by length
  std::vector<LeftOut> left_out;     // by importance
  double seconds = 0;                // of all sessions
};

// Warm-ups, then the workload's cells by tier: all of a tier once, then once more, and so on, so that drift of the
// machine meets its cells alike. A cell whose run would not end within the time limit (as the runs so far let expect)
// is passed over, and the next that would is run. Where a run takes over 30 s, three are enough. The error of a run
// ends it, and so does a run of another length than asked, or one of whose prompt the target took more than a few
// tokens from a cache: its figures would not be those of a new prompt.
Result<BenchmarkRun> RunBenchmark(Target& target, const Workload& workload, const BenchmarkRunOptions& options);

}  // namespace qnext
