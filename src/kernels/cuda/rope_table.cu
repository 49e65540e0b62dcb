// Cosines and sines of the rotary embedding.
#include "hw/cuda/cuda_status.h"
#include "kernels/cuda/attention.h"

namespace qnext::cuda {
namespace {

__global__ void RopeTable(RopeTableArgs args) {
  const int64_t i = blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x;
  if (i >= args.m * args.half) return;
  const double angle = args.positions[i / args.half] * args.frequencies[i % args.half];
  double sine, cosine;
  sincos(angle, &sine, &cosine);
  args.cos[i] = static_cast<float>(cosine * args.magnitude);
  args.sin[i] = static_cast<float>(sine * args.magnitude);
}

}  // namespace

Status LaunchRopeTable(const RopeTableArgs& args, Stream stream) {
  constexpr int64_t kThreads = 128;
  const int64_t blocks = CeilDiv(args.m * args.half, kThreads);
  RopeTable<<<static_cast<unsigned>(blocks), kThreads, 0, stream>>>(args);
  return LaunchStatus("rope_table");
}

}  // namespace qnext::cuda
