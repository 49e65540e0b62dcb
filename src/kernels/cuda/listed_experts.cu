// Experts from a list instead of the router.
#include "hw/cuda/cuda_status.h"
#include "kernels/cuda/step.h"

namespace qnext::cuda {
namespace {

__global__ void ListedExperts(ListedExpertsArgs args) {
  const int64_t i = blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x;
  if (i >= args.layers * args.m * args.top) return;
  const int64_t rank = i % args.top, row = i / args.top % args.m, layer = i / args.top / args.m;
  const int64_t position = args.positions[row] % args.list_positions;
  args.experts[i] = args.list[(layer * args.list_positions + position) * args.top + rank];
}

}  // namespace

Status LaunchListedExperts(const ListedExpertsArgs& args, Stream stream) {
  constexpr int64_t kThreads = 128;
  const int64_t blocks = CeilDiv(args.layers * args.m * args.top, kThreads);
  ListedExperts<<<static_cast<unsigned>(blocks), kThreads, 0, stream>>>(args);
  return LaunchStatus("listed_experts");
}

}  // namespace qnext::cuda
