// Target: what a benchmark measures. One implementation runs the engine in this process, another speaks HTTP.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/status.h"
#include "bench/workload.h"
#include "metrics/timeline.h"

namespace qnext {

// What the decode steps of a run did with experts that are partly in GPU memory and partly in RAM. One choice is a row,
// a layer and an expert. Seconds are sums over steps and layers; places work at the same time.
struct PlaceTelemetry {
  int64_t steps = 0;
  int64_t choices = 0;
  int64_t hits = 0;                         // the expert was in GPU memory
  int64_t cpu = 0;                          // the CPU computed it
  int64_t fetched = 0;                      // experts that the GPU read from RAM within a step
  int64_t promoted = 0;                     // experts copied into GPU memory between steps
  int64_t expert_bytes = 0;                 // of one expert
  int64_t cached_experts = 0, experts = 0;  // room for copies in GPU memory, and all there are
  double cpu_seconds = 0;                   // the CPU computed
  double gpu_seconds = 0;                   // the GPU fetched and computed its part
  double wait_seconds = 0;                  // the GPU waited for the CPU's part
  double step_seconds = 0;                  // from a step's launch to its results
  double between_seconds = 0;               // from a step's results to the launch of the next
};

// Of the process that runs the model, when a run has ended.
struct MemoryReading {
  int64_t ram_bytes = 0;              // resident
  int64_t ram_peak_bytes = 0;         // the most so far
  std::optional<int64_t> vram_bytes;  // of the card, every process; absent without a GPU
};

// One run as it was measured. Raw times are kept.
struct RunSample {
  TimelineSummary summary;
  std::vector<double> inter_token_seconds;
  int64_t cached_prompt_tokens = 0;      // of the prompt, taken from a cache instead of computed
  std::optional<PlaceTelemetry> places;  // absent where all experts are in one place, or nobody says
  std::optional<MemoryReading> memory;   // absent where the target does not say
};

class Target {
 public:
  virtual ~Target() = default;

  // Runs one prompt of the asked length to the asked number of tokens; `run` differs between runs and may choose the
  // words and the seed. kCancelled where whoever watches has ended it.
  virtual Result<RunSample> Run(const WorkloadCase& work, int64_t run) = 0;
  // Whether these lengths are exact, so that another one is an error. A target that cannot say so (it does not know the
  // tokenizer) refuses in Run what is too far off.
  virtual bool exact_lengths() const { return true; }
};

}  // namespace qnext
