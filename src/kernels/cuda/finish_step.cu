// The end of a decode step.
#include "base/check.h"
#include "hw/cuda/cuda_status.h"
#include "kernels/cuda/step.h"

namespace qnext::cuda {
namespace {

__global__ void FinishStep(FinishStepArgs args) {
  const uint32_t step = *args.step + 1;
  __syncwarp();
  if (threadIdx.x == 0) *args.step = step;
  if (threadIdx.x >= args.m) return;
  ++args.positions[threadIdx.x];
  const uint32_t token = args.tokens == nullptr ? 0 : static_cast<uint32_t>(args.tokens[threadIdx.x]);
  // What the host may read once it has seen the word (logits that an earlier node of the graph has copied) was written
  // before this kernel began.
  __threadfence_system();
  *static_cast<volatile uint64_t*>(args.results + threadIdx.x) = static_cast<uint64_t>(step) << 32 | token;
}

}  // namespace

Status LaunchFinishStep(const FinishStepArgs& args, Stream stream) {
  QNEXT_CHECK(args.m >= 1 && args.m <= kMaxDecodeRows, "a decode step has 1 to 8 rows");
  FinishStep<<<1, 32, 0, stream>>>(args);
  return LaunchStatus("finish_step");
}

}  // namespace qnext::cuda
