// The router's choice, one warp a row, and its split into hit, fetch and CPU, in one thread and in order.
#include <cfloat>

#include "base/range.h"
#include "hw/cuda/cuda_status.h"
#include "kernels/cuda/kernel_launch.h"
#include "kernels/cuda/router.h"

namespace qnext::cuda {
namespace {

constexpr int kMostPerLane = 32;  // logits a lane holds: 1024 experts
constexpr int kMostChosen = 32;   // one lane each
constexpr int kRowsPerBlock = 4;

__device__ float WarpMax(float x) {
  for (int step = 16; step > 0; step /= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, step));
  return x;
}
__device__ float WarpSum(float x) {
  for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(0xffffffffu, x, step);
  return x;
}

// The highest logit of the warp with the lowest index on ties.
__device__ void WarpArgMax(float& logit, int& expert) {
  for (int step = 16; step > 0; step /= 2) {
    const float other = __shfl_xor_sync(0xffffffffu, logit, step);
    const int index = __shfl_xor_sync(0xffffffffu, expert, step);
    if (other > logit || (other == logit && index < expert)) logit = other, expert = index;
  }
}

// Lane l holds the logits of experts l, l + 32, ...
__global__ void __launch_bounds__(32 * kRowsPerBlock) Router(RouterSplitArgs args) {
  const int lane = static_cast<int>(threadIdx.x);
  const int64_t row = blockIdx.x * int64_t{kRowsPerBlock} + threadIdx.y;
  if (row >= args.m) return;
  const float* logits = args.logits + row * args.num_experts;
  const int top = static_cast<int>(args.top);
  float mine[kMostPerLane];
  float highest = -FLT_MAX;
#pragma unroll
  for (int i = 0; i < kMostPerLane; ++i) {
    const int expert = lane + 32 * i;
    mine[i] = expert < args.num_experts ? logits[expert] : -INFINITY;
    highest = fmaxf(highest, mine[i]);
  }
  highest = WarpMax(highest);
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kMostPerLane; ++i) sum += expf(mine[i] - highest);
  sum = WarpSum(sum);

  int chosen = 0;  // lane j: the j-th choice
  if (args.forced != nullptr) {
    if (lane < top) chosen = args.forced[row * top + lane];
  } else {
    for (int j = 0; j < top; ++j) {
      float best = -INFINITY;
      int expert = INT32_MAX;
#pragma unroll
      for (int i = 0; i < kMostPerLane; ++i) {
        if (mine[i] > best) best = mine[i], expert = lane + 32 * i;
      }
      WarpArgMax(best, expert);
      if (expert == INT32_MAX) expert = 0;  // only NaN is left; the sampler reports it
      if (lane == j) chosen = expert;
#pragma unroll
      for (int i = 0; i < kMostPerLane; ++i) {
        if (expert == lane + 32 * i) mine[i] = -INFINITY;
      }
    }
  }
  float weight = lane < top ? __fdiv_rn(expf(logits[chosen] - highest), sum) : 0.0f;
  if (args.normalize) weight = __fdiv_rn(weight, WarpSum(weight));
  if (lane < top) {
    args.experts[row * top + lane] = chosen;
    args.weights[row * top + lane] = weight;
    args.entry_slots[row * (top + 1) + lane] = args.placement.slot_map[chosen];
    args.entry_weights[row * (top + 1) + lane] = weight;
  }
  if (lane == 0) {
    const bool shared = args.shared_gate != nullptr && args.shared_slot >= 0;
    args.entry_slots[row * (top + 1) + top] = shared ? args.shared_slot : -1;
    args.entry_weights[row * (top + 1) + top] = shared ? __fdiv_rn(1.0f, 1.0f + expf(-args.shared_gate[row])) : 0.0f;
  }
}

// Misses in order of row and rank: fetched while the quota lasts (once for all rows), the rest for the CPU. At most 80
// pairs, and the order is the contract.
__global__ void Split(RouterSplitArgs args) {
  const ExpertPlacement& placement = args.placement;
  const int32_t quota =
      placement.fetch_slots != nullptr && placement.fetch_quota != nullptr ? *placement.fetch_quota : 0;
  int32_t fetched = 0, for_cpu = 0;
  for (int64_t pair = 0; pair < args.m * args.top; ++pair) {
    const int64_t row = pair / args.top;
    int32_t& slot = args.entry_slots[row * (args.top + 1) + pair % args.top];
    if (slot >= 0) continue;
    const int32_t expert = args.experts[pair];
    int32_t at = 0;
    while (at < fetched && args.lists.fetch_experts[at] != expert) ++at;
    if (at == fetched && fetched < quota) args.lists.fetch_experts[fetched++] = expert;
    if (at < fetched) {
      slot = placement.fetch_slots[at];
    } else {
      args.lists.cpu_rows[for_cpu] = static_cast<int32_t>(row);
      args.lists.cpu_experts[for_cpu] = expert;
      args.lists.cpu_weights[for_cpu++] = args.weights[pair];
    }
  }
  *args.lists.cpu_count = for_cpu;
  if (args.lists.fetch_count != nullptr) *args.lists.fetch_count = fetched;
}

}  // namespace

Status LaunchRouterSplit(const RouterSplitArgs& args, Stream stream) {
  if (args.num_experts > 32 * kMostPerLane) return Unsupported("router: more than 1024 experts");
  if (args.top > kMostChosen || args.top > args.num_experts) return Unsupported("router: more than 32 experts a token");
  const bool lists = args.lists.cpu_count != nullptr;
  if (lists && args.m > kMaxDecodeRows) return Internal("router: lists are for decode steps");
  QNEXT_RETURN_IF_ERROR(
      LaunchKernel("router", Router,
                   {.blocks_x = CeilDiv(args.m, int64_t{kRowsPerBlock}), .threads_x = 32, .threads_y = kRowsPerBlock},
                   stream, args));
  if (!lists) return Status();
  return LaunchKernel("router_split", Split, {}, stream, args);
}

}  // namespace qnext::cuda
