// What decode steps did with experts that were partly in GPU memory and partly in RAM, summed up since the model was
// loaded.
#pragma once

#include <cstdint>

namespace qnext {

// One choice is a row, a layer and an expert. Seconds are of all layers together.
struct ExpertStats {
  int64_t steps = 0;
  int64_t choices = 0;
  int64_t hits = 0;                         // the expert was in GPU memory
  int64_t cpu = 0;                          // the CPU computed it
  int64_t fetched = 0;                      // experts that the GPU read from RAM within a step
  int64_t promoted = 0;                     // experts copied into GPU memory between steps
  int64_t expert_bytes = 0;                 // of one expert
  int64_t cached_experts = 0, experts = 0;  // room for copies in GPU memory, and all there are
  int64_t cache_bytes = 0;                  // of that room: as much as is mapped now
  double cpu_seconds = 0;                   // the CPU computed
  double gpu_seconds = 0;                   // the GPU fetched and computed its part
  double post_seconds = 0;                  // of those, until the fetches began
  double wait_seconds = 0;                  // the GPU waited for the CPU's part
  double step_seconds = 0;                  // from a step's launch to its results
  double between_seconds = 0;               // from a step's results to the launch of the next
};

// The part of GPU memory that holds copies of experts, as planned and as it is now.
struct ExpertCacheMemory {
  int64_t planned_bytes = 0, bytes = 0;
  int64_t planned_experts = 0, experts = 0;
  int64_t chunk_bytes = 0;  // what is given back, or taken, together
};

}  // namespace qnext
