// Where the time of a decode step goes, kernel by kernel, adding up to the step.
//
// Events between the launches of an eager step would time the host, and profilers need rights that users do not have.
// So the step is captured whole and then without one kind of kernel after another, until none is left, and each of
// these is replayed: a kind costs what leaving it out saves, its share of the gaps between kernels included. What kinds
// hide of each other goes to the one that is left out later, so this is done in both orders and the mean is taken.
// The savings add up to the step less what a graph without kernels costs. Kernels run on whatever the buffers hold;
// simulated routing keeps the experts as spread as they would be.
#pragma once

#include <cstdint>
#include <vector>

#include "base/status.h"
#include "model/cuda/gpu_block.h"

namespace qnext::cuda {

class Decoder;
struct GpuContext;

struct KernelShare {
  StepKernel kernel = StepKernel::kEmbedding;
  int64_t launches = 0;  // in a step
  int64_t bytes = 0;     // of weights and state that these read and write
  double us = 0;         // of a step
};

struct StepProfile {
  int64_t rows = 0, context = 0;
  double step_us = 0;                // the whole step as replayed
  double read_bytes_per_second = 0;  // what this GPU reads, measured just before
  std::vector<KernelShare> kernels;  // in the order of a step
  // step_us less the sum of the kernels: the launch of a graph that holds none.
  double rest_us() const;
};

// For m rows that look back on `context` tokens. Leaves the decoder ready and the slots' states good for Reset only.
Result<StepProfile> MeasureStep(const GpuContext& context, Decoder& decoder, int64_t m, int64_t context_tokens);

}  // namespace qnext::cuda
