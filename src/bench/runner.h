// Runs a workload against a target and keeps every sample.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "bench/statistics.h"
#include "bench/target.h"
#include "bench/workload.h"

namespace qnext {

struct CaseResult {
  WorkloadCase work;
  std::vector<RunSample> samples;
};

struct LoadResult {
  std::vector<CaseResult> cases;
  bool cut_short = false;  // the time limit came before the last repetition
};

struct RunnerOptions {
  double time_limit_seconds = 0;  // no new repetition after it, but each case is run once; 0: none
  std::function<void(int64_t step, int64_t steps, const std::string& what)> progress;  // before each run; may be empty
  std::function<double()> seconds;  // a clock, for tests; empty: the steady clock
};

// Warm-ups, then all cases once, then all once more, and so on: drift of the machine meets every case alike. The error
// of a run ends it; a run of another length than asked is an error too.
Result<LoadResult> RunWorkload(Target& target, const Workload& workload, const RunnerOptions& options);

// The figures of a case over its samples.
struct CaseFigures {
  Spread decode_tokens_per_second;
  Spread prefill_tokens_per_second;
  Spread first_token_seconds;
  double inter_token_median_seconds = 0;  // over the tokens of all samples together
  double inter_token_p95_seconds = 0;
  double inter_token_p99_seconds = 0;
};
CaseFigures FiguresOf(const CaseResult& result);

}  // namespace qnext
