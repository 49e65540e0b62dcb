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

// A number whose order is that of the floats; what is no number comes first.
__device__ uint32_t OrderOf(float x) {
  const uint32_t bits = __float_as_uint(x + 0.0f);  // -0 is 0
  if (isnan(x)) return 0;
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

// Lane l holds the logits of experts l, l + 32, ..., kPerLane of them.
template <int kPerLane>
__global__ void __launch_bounds__(32 * kRowsPerBlock) Router(RouterSplitArgs args) {
  const int lane = static_cast<int>(threadIdx.x);
  const int64_t row = blockIdx.x * int64_t{kRowsPerBlock} + threadIdx.y;
  if (row >= args.m) return;
  const float* logits = args.logits + row * args.num_experts;
  const int top = static_cast<int>(args.top);
  float mine[kPerLane];
  float highest = -FLT_MAX;
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    const int expert = lane + 32 * i;
    mine[i] = expert < args.num_experts ? logits[expert] : -INFINITY;
    highest = fmaxf(highest, mine[i]);
  }
  highest = WarpMax(highest);
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) sum += expf(mine[i] - highest);
  sum = WarpSum(sum);

  int chosen = 0;  // lane j: the j-th choice
  float logit = highest;
  if (args.forced != nullptr) {
    if (lane < top) chosen = args.forced[row * top + lane], logit = logits[chosen];
  } else {
    constexpr uint32_t kNothing = 0x007fffffu;  // the order of -infinity: what was chosen, what is beyond the experts
    for (int j = 0; j < top; ++j) {
      uint32_t best = kNothing;
      int at = 0;
#pragma unroll
      for (int i = 0; i < kPerLane; ++i) {
        const uint32_t order = OrderOf(mine[i]);
        if (order > best) best = order, at = i;
      }
      // The highest of the warp, of its lanes the one whose expert has the lowest index.
      const uint32_t all = __reduce_max_sync(0xffffffffu, best);
      uint32_t expert = best == all ? static_cast<uint32_t>(lane + 32 * at) : UINT32_MAX;
      expert = __reduce_min_sync(0xffffffffu, expert);
      if (all == kNothing) expert = 0;  // only NaN is left; the sampler reports it
      const float value =
          all == kNothing ? -INFINITY : __uint_as_float((all & 0x80000000u) != 0 ? all & 0x7fffffffu : ~all);
      if (lane == j) chosen = static_cast<int>(expert), logit = value;
#pragma unroll
      for (int i = 0; i < kPerLane; ++i) {
        if (expert == static_cast<uint32_t>(lane + 32 * i)) mine[i] = -INFINITY;
      }
    }
  }
  float weight = lane < top ? __fdiv_rn(expf(logit - highest), sum) : 0.0f;
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
  const LaunchShape shape = {
      .blocks_x = CeilDiv(args.m, int64_t{kRowsPerBlock}), .threads_x = 32, .threads_y = kRowsPerBlock};
  QNEXT_RETURN_IF_ERROR(args.num_experts <= 512 ? LaunchKernel("router", Router<16>, shape, stream, args)
                                                : LaunchKernel("router", Router<kMostPerLane>, shape, stream, args));
  if (!lists) return Status();
  return LaunchKernel("router_split", Split, {}, stream, args);
}

}  // namespace qnext::cuda
