// Target: what a benchmark measures. One implementation runs the engine in this process, another speaks HTTP.
#pragma once

#include <cstdint>
#include <vector>

#include "base/status.h"
#include "bench/workload.h"
#include "metrics/timeline.h"

namespace qnext {

// One run as it was measured. Raw times are kept.
struct RunSample {
  TimelineSummary summary;
  std::vector<double> inter_token_seconds;
};

class Target {
 public:
  virtual ~Target() = default;

  // Runs one prompt of the asked length to the asked number of tokens; `run` differs between runs and may choose the
  // words and the seed.
  virtual Result<RunSample> Run(const WorkloadCase& work, int64_t run) = 0;
  // Whether these lengths are exact, so that another one is an error. A target that cannot say so (it does not know the
  // tokenizer) refuses in Run what is too far off.
  virtual bool exact_lengths() const { return true; }
};

}  // namespace qnext
