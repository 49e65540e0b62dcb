// What the decode steps of a hybrid model did, summed up since it was loaded.
#pragma once

#include <cstdint>

namespace qnext::cuda {

// Choices are pairs of a row and an expert; seconds are of all layers together.
struct HybridStats {
  int64_t experts = 0, expert_bytes = 0;  // of the model, and of one
  int64_t steps = 0, choices = 0;
  int64_t hits = 0;         // choices whose expert was in VRAM
  int64_t cpu = 0;          // choices that the CPU computed
  int64_t fetched = 0;      // experts that the GPU read from RAM within a step
  int64_t promoted = 0;     // experts copied to VRAM between steps
  double cpu_seconds = 0;   // from the split being seen to the CPU's sum being there
  double gpu_seconds = 0;   // from the split to the GPU's part being done, fetches included
  double post_seconds = 0;  // of those, until the fetches began
  double wait_seconds = 0;  // the GPU waited for the CPU
  double step_seconds = 0;  // from a step's launch to its results
  // From a step's results to the launch of the next one: the cache's bookkeeping, and whatever the caller does with a
  // token. Pauses are left out.
  double between_seconds = 0;
};

}  // namespace qnext::cuda
