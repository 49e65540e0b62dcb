// The bookkeeping of a decode step: who chooses the experts where the router does not, and what the host waits for.
#pragma once

#include "kernels/cuda/launch.h"
#include "kernels/kernels.h"

namespace qnext::cuda {

// Simulated routing: the choices of every layer for the positions of this step, from a list made beforehand.
struct ListedExpertsArgs {
  const uint16_t* list;      // [layers, list_positions, top]; positions past its end wrap around
  const int32_t* positions;  // [m]
  int32_t* experts;          // [layers, m, top]
  int64_t layers, list_positions, top, m;
};
Status LaunchListedExperts(const ListedExpertsArgs& args, Stream stream);

// The last kernel of a step: moves every row on by one position and tells the host, who polls `results`, in one word
// per row: the number of the step and the chosen token.
struct FinishStepArgs {
  const int32_t* tokens;  // [m] -1: the logits were broken. Null: nothing was chosen, as if all were 0
  int32_t* positions;     // [m] advanced by one
  uint32_t* step;         // the number of the last finished step; advanced
  uint64_t* results;      // [m] mapped host memory: step << 32 | token
  int64_t m;              // at most kMaxDecodeRows
};
Status LaunchFinishStep(const FinishStepArgs& args, Stream stream);

// The inputs of experts that each have an order of their own (act-order checkpoints): row r * entries + j of `out` is
// row r of x, gathered in the order of its j-th expert, padded and quantized. The last entry is the shared expert,
// whose order is the last of the table.
struct QuantizeEntriesArgs {
  const float* x;          // [m, in]
  const int32_t* experts;  // [m, entries - 1]
  const int32_t* orders;   // [num_experts + 1, in] the layer's
  Int8Rows out;            // [m * entries] rows
  int64_t m, in, entries, num_experts;
};
Status LaunchQuantizeEntries(const QuantizeEntriesArgs& args, Stream stream);

}  // namespace qnext::cuda
