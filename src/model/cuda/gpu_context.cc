#include "model/cuda/gpu_context.h"

#include <cuda_runtime_api.h>

#include "hw/cuda/cuda_status.h"
#include "kernels/cuda/step.h"

namespace qnext::cuda {

Status ApplyRouting(const GpuContext& context, GpuBlock& block) {
  if (context.places.routing == nullptr) return Status();
  block.forced = context.places.ws.forced;
  return block.Run(StepKernel::kListedExperts, 0, LaunchListedExperts,
                   {.list = context.places.routing,
                    .positions = block.rows.positions,
                    .experts = context.places.ws.forced,
                    .layers = static_cast<int64_t>(context.plan.experts().size()),
                    .list_positions = context.places.routing_positions,
                    .top = context.config.num_experts_per_token,
                    .m = block.m});
}

Status UploadRows(const GpuContext& context, const GpuRows& from, const GpuRows& to, int64_t m) {
  const auto copy = [&](int32_t* target, const int32_t* source) {
    return ToStatus(cudaMemcpyAsync(target, source, static_cast<size_t>(m) * sizeof(int32_t), cudaMemcpyHostToDevice,
                                    context.stream),
                    "rows of a step");
  };
  QNEXT_RETURN_IF_ERROR(copy(to.ids, from.ids));
  QNEXT_RETURN_IF_ERROR(copy(to.positions, from.positions));
  return copy(to.slots, from.slots);
}

}  // namespace qnext::cuda
