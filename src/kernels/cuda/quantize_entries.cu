// The CPU's quantize_rows, through another order for each expert.
#include "base/check.h"
#include "hw/cuda/cuda_status.h"
#include "kernels/cuda/quantize_run.cuh"
#include "kernels/cuda/step.h"

namespace qnext::cuda {
namespace {

// A warp takes a run of 32 inputs, one each.
constexpr int kWarpsPerBlock = 8;

__global__ void QuantizeEntries(QuantizeEntriesArgs args) {
  const int64_t runs = args.out.in_padded / 32;
  const int64_t run = blockIdx.x * static_cast<int64_t>(kWarpsPerBlock) + threadIdx.x / 32;
  if (run >= runs) return;
  const int64_t pair = blockIdx.y, row = pair / args.entries, entry = pair % args.entries;
  const int lane = threadIdx.x % 32;
  const int64_t expert = entry == args.entries - 1 ? args.num_experts : args.experts[row * (args.entries - 1) + entry];
  const int64_t i = run * 32 + lane;
  const float x = i < args.in ? args.x[row * args.in + args.orders[expert * args.in + i]] : 0.0f;

  const int64_t at = pair * runs + run;
  QuantizeRun(x, args.out.codes + at * 32, args.out.scales + at, args.out.sums + at, lane);
}

}  // namespace

Status LaunchQuantizeEntries(const QuantizeEntriesArgs& args, Stream stream) {
  QNEXT_CHECK(args.out.in_padded == RoundUp(args.in, 32), "rows padded to runs of 32");
  const int64_t pairs = args.m * args.entries;
  const int64_t blocks = CeilDiv(args.out.in_padded / 32, kWarpsPerBlock);
  QNEXT_CHECK(pairs > 0 && pairs <= 65535, "a grid holds the pairs");
  QuantizeEntries<<<dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(pairs)), kWarpsPerBlock * 32, 0,
                    stream>>>(args);
  return LaunchStatus("quantize_entries");
}

}  // namespace qnext::cuda
