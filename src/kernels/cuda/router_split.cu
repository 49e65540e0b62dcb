// The router's choice, one warp a row, and its split into hit, fetch and CPU, by one warp and in order.
#include <cfloat>

#include "base/range.h"
#include "hw/cuda/cuda_status.h"
#include "kernels/cuda/clock.cuh"
#include "kernels/cuda/kernel_launch.h"
#include "kernels/cuda/router.h"

namespace qnext::cuda {
namespace {

constexpr int kMostPerLane = 32;  // logits a lane holds: 1024 experts
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

// What lane j holds of a row's j-th choice.
struct Choice {
  int expert;
  float weight;
};

// Lane l looks at the logits of experts l, l + 32, ..., kPerLane of them.
template <int kPerLane>
__device__ Choice Choose(const RouterSplitArgs& args, int64_t row, int lane) {
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
  return {chosen, weight};
}

// Everything about a row but the slots of its routed experts.
__device__ void WriteChoice(const RouterSplitArgs& args, int64_t row, int lane, const Choice& choice) {
  const int64_t top = args.top;
  if (lane < top) {
    args.experts[row * top + lane] = choice.expert;
    args.weights[row * top + lane] = choice.weight;
    args.entry_weights[row * (top + 1) + lane] = choice.weight;
  }
  if (lane == 0) {
    const bool shared = args.shared_gate != nullptr && args.shared_slot >= 0;
    args.entry_slots[row * (top + 1) + top] = shared ? args.shared_slot : -1;
    args.entry_weights[row * (top + 1) + top] = shared ? __fdiv_rn(1.0f, 1.0f + expf(-args.shared_gate[row])) : 0.0f;
  }
}

__device__ int SlotOf(const RouterSplitArgs& args, int expert) {
  return args.placement.slot_map == nullptr ? expert : args.placement.slot_map[expert];
}

// Every expert is in the slot map.
template <int kPerLane>
__global__ void __launch_bounds__(32 * kRowsPerBlock) Router(RouterSplitArgs args) {
  const int lane = static_cast<int>(threadIdx.x);
  const int64_t row = blockIdx.x * int64_t{kRowsPerBlock} + threadIdx.y;
  if (row >= args.m) return;
  const Choice choice = Choose<kPerLane>(args, row, lane);
  WriteChoice(args, row, lane, choice);
  if (lane < args.top) args.entry_slots[row * (args.top + 1) + lane] = SlotOf(args, choice.expert);
}

struct SplitShared {
  int32_t experts[kMostMailPairs], slots[kMostMailPairs];
  float weights[kMostMailPairs];
  int32_t cpu_rows[kMostMailPairs], cpu_experts[kMostMailPairs];
  float cpu_weights[kMostMailPairs];
  int32_t fetch_experts[kMostFetched];
  int32_t cpu_count, fetch_count;
};

// One warp, lane j the j-th choice of a row. Misses in order of row and rank: fetched while the quota lasts (once for
// all rows), the rest for the CPU.
__device__ void SplitRows(const RouterSplitArgs& args, SplitShared& s, int lane) {
  const ExpertPlacement& placement = args.placement;
  const int top = static_cast<int>(args.top);
  int quota = placement.fetch_slots != nullptr && placement.fetch_quota != nullptr ? *placement.fetch_quota : 0;
  quota = min(quota, static_cast<int>(kMostFetched));
  const unsigned below = (1u << lane) - 1;
  int fetched = 0, for_cpu = 0;
  for (int row = 0; row < args.m; ++row) {
    const int pair = row * top + lane;
    const int expert = lane < top ? s.experts[pair] : -1;
    int slot = lane < top ? s.slots[pair] : 0;
    const bool miss = slot < 0;
    int at = -1;
    if (miss) {
      for (int i = 0; i < fetched; ++i) at = s.fetch_experts[i] == expert ? i : at;
    }
    const bool fresh = miss && at < 0;
    const unsigned all_fresh = __ballot_sync(0xffffffffu, fresh);
    const int rank = __popc(all_fresh & below);
    if (fresh && fetched + rank < quota) {
      at = fetched + rank;
      s.fetch_experts[at] = expert;
    }
    const bool cpu = miss && at < 0;
    const unsigned all_cpu = __ballot_sync(0xffffffffu, cpu);
    if (cpu) {
      const int to = for_cpu + __popc(all_cpu & below);
      s.cpu_rows[to] = row;
      s.cpu_experts[to] = expert;
      s.cpu_weights[to] = s.weights[pair];
    }
    if (miss && at >= 0) slot = placement.fetch_slots[at];
    if (lane < top) args.entry_slots[row * (top + 1) + lane] = slot;
    fetched += max(0, min(__popc(all_fresh), quota - fetched));
    for_cpu += __popc(all_cpu);
    __syncwarp();
  }
  if (lane == 0) s.cpu_count = for_cpu, s.fetch_count = fetched;
}

// Vectors of 16 bytes from device memory to mapped host memory.
__device__ void PostBytes(const void* from, void* to, int64_t bytes, int thread, int threads) {
  const int4* source = static_cast<const int4*>(from);
  int4* target = static_cast<int4*>(to);
  for (int64_t i = thread; i < bytes / 16; i += threads) target[i] = source[i];
}

// One block of a warp for each row that there can be: choice, split, and the mail to the CPU.
template <int kPerLane>
__global__ void __launch_bounds__(32 * kMaxDecodeRows) RouterAndSplit(RouterSplitArgs args) {
  __shared__ SplitShared s;
  const int lane = static_cast<int>(threadIdx.x), warp = static_cast<int>(threadIdx.y);
  const int thread = warp * 32 + lane;
  constexpr int kThreads = 32 * static_cast<int>(kMaxDecodeRows);
  const int top = static_cast<int>(args.top);
  const ExpertPost& post = args.post;
  if (warp < args.m) {
    const Choice choice = Choose<kPerLane>(args, warp, lane);
    WriteChoice(args, warp, lane, choice);
    if (lane < top) {
      s.experts[warp * top + lane] = choice.expert;
      s.weights[warp * top + lane] = choice.weight;
      s.slots[warp * top + lane] = SlotOf(args, choice.expert);
    }
  }
  __syncthreads();
  if (warp == 0) {
    SplitRows(args, s, lane);
  } else if (post.mail != nullptr) {
    // Whether or not the CPU will read them: known a moment later, and the bytes are few.
    const int64_t width = post.rows.in_padded, runs = width / kInt4BlockInputs;
    PostBytes(post.rows.codes, post.host_rows.codes, args.m * width, thread - 32, kThreads - 32);
    for (int64_t i = thread - 32; i < args.m * runs; i += kThreads - 32) {
      post.host_rows.scales[i] = post.rows.scales[i];
      post.host_rows.sums[i] = post.rows.sums[i];
    }
  }
  __syncthreads();
  const ExpertLists& lists = args.lists;
  for (int i = thread; i < s.cpu_count; i += kThreads) {
    if (lists.cpu_rows != nullptr) {
      lists.cpu_rows[i] = s.cpu_rows[i];
      lists.cpu_experts[i] = s.cpu_experts[i];
      lists.cpu_weights[i] = s.cpu_weights[i];
    }
    if (post.mail != nullptr) {
      post.mail->cpu_rows[i] = s.cpu_rows[i];
      post.mail->cpu_experts[i] = s.cpu_experts[i];
      post.mail->cpu_weights[i] = s.cpu_weights[i];
    }
  }
  for (int i = thread; i < s.fetch_count; i += kThreads) {
    lists.fetch_experts[i] = s.fetch_experts[i];
    if (post.mail != nullptr) post.mail->fetch_experts[i] = s.fetch_experts[i];
  }
  if (thread == 0) {
    *lists.cpu_count = s.cpu_count;
    if (lists.fetch_count != nullptr) *lists.fetch_count = s.fetch_count;
  }
  if (post.mail == nullptr) return;
  for (int i = thread; i < args.m * top; i += kThreads) post.mail->chosen[i] = s.experts[i];
  if (thread == 0) {
    post.mail->cpu_count = s.cpu_count;
    post.mail->fetch_count = s.fetch_count;
    post.mail->split_ns = GlobalNanoseconds();
  }
  __threadfence_system();
  __syncthreads();
  if (thread == 0) *static_cast<volatile uint32_t*>(&post.mail->posted) = *post.step + 1;
}

}  // namespace

Status LaunchRouterSplit(const RouterSplitArgs& args, Stream stream) {
  if (args.num_experts > 32 * kMostPerLane) return Unsupported("router: more than 1024 experts");
  if (args.top > kMostChosenExperts || args.top > args.num_experts) {
    return Unsupported("router: more than 32 experts a token");
  }
  const bool few = args.num_experts <= 512;
  if (args.lists.cpu_count == nullptr) {
    const LaunchShape shape = {
        .blocks_x = CeilDiv(args.m, int64_t{kRowsPerBlock}), .threads_x = 32, .threads_y = kRowsPerBlock};
    return few ? LaunchKernel("router", Router<16>, shape, stream, args)
               : LaunchKernel("router", Router<kMostPerLane>, shape, stream, args);
  }
  if (args.m > kMaxDecodeRows) return Internal("router: lists are for decode steps");
  const LaunchShape shape = {.threads_x = 32, .threads_y = kMaxDecodeRows};
  return few ? LaunchKernel("router_split", RouterAndSplit<16>, shape, stream, args)
             : LaunchKernel("router_split", RouterAndSplit<kMostPerLane>, shape, stream, args);
}

}  // namespace qnext::cuda
