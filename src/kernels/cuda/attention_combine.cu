// The splits' parts of the softmax put together, gated, and given out as float32 and int8.
#include "hw/cuda/cuda_status.h"
#include "kernels/cuda/attention_parts.cuh"
#include "kernels/cuda/int8_run.cuh"

namespace qnext::cuda::attention {
namespace {

// A block takes 64 dims of one head of one row. Its 256 threads are 16 groups of 16: group g sums splits g, g+16, ...,
// each thread four dims; then 64 threads sum the groups. All loads of a thread are under way at once.
constexpr int kBlockDims = 64;
constexpr int kGroups = 16;
constexpr int kThreads = 256;
constexpr int kTurns = kSplits / kGroups;
constexpr unsigned kAllLanes = 0xffffffffu;
static_assert(kSplits == 64, "a lane holds the weights of two splits");

__device__ inline float WarpMax(float x) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, step));
  return x;
}
__device__ inline float WarpSum(float x) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(kAllLanes, x, step);
  return x;
}

__global__ void __launch_bounds__(kThreads) Combine(const AttentionDecodeArgs args, int first_row) {
  __shared__ float4 sums[kGroups][kBlockDims / 4];
  const int64_t row = first_row + blockIdx.z, head = blockIdx.y;
  const int head_dim = static_cast<int>(args.kv.layout.head_dim);
  const int lane = threadIdx.x % 32, group = threadIdx.x / 16, quad = threadIdx.x % 16;
  const int dim = blockIdx.x * kBlockDims + quad * 4;
  const Partials partials(args, gridDim.z);
  const int used = UsedSplits(args.positions[row]);

  float4 parts[kTurns];
#pragma unroll
  for (int i = 0; i < kTurns; ++i) {
    const int split = group + i * kGroups;
    parts[i] = make_float4(0, 0, 0, 0);
    if (split < used && dim < head_dim) {
      parts[i] = *reinterpret_cast<const float4*>(partials.ValuesAt(blockIdx.z, head, split) + dim);
    }
  }
  const int out_dim = blockIdx.x * kBlockDims + threadIdx.x;  // of the first 64 threads
  const bool gives_out = threadIdx.x < kBlockDims && out_dim < head_dim;
  const float gate = gives_out ? args.query_gate[((row * args.query_heads + head) * 2 + 1) * head_dim + out_dim] : 0.0f;

  // Every warp makes all weights: of splits `lane` and 32 + `lane`.
  float2 low = make_float2(-INFINITY, 0), high = low;
  if (lane < used) low = *partials.StatsAt(blockIdx.z, head, lane);
  if (lane + 32 < used) high = *partials.StatsAt(blockIdx.z, head, lane + 32);
  const float highest = WarpMax(fmaxf(low.x, high.x));
  const float low_weight = lane < used ? expf(low.x - highest) : 0.0f;
  const float high_weight = lane + 32 < used ? expf(high.x - highest) : 0.0f;
  const float sum = WarpSum(fmaf(low_weight, low.y, high_weight * high.y));

  float4 total = make_float4(0, 0, 0, 0);
#pragma unroll
  for (int i = 0; i < kTurns; ++i) {
    const int split = group + i * kGroups;
    const float weight = __shfl_sync(kAllLanes, i < kTurns / 2 ? low_weight : high_weight, split % 32);
    total.x = fmaf(weight, parts[i].x, total.x), total.y = fmaf(weight, parts[i].y, total.y);
    total.z = fmaf(weight, parts[i].z, total.z), total.w = fmaf(weight, parts[i].w, total.w);
  }
  sums[group][quad] = total;
  __syncthreads();

  if (!gives_out) return;  // whole warps: head dims are multiples of 32
  const float* columns = reinterpret_cast<const float*>(sums) + threadIdx.x;
  float value = 0;
#pragma unroll
  for (int i = 0; i < kGroups; ++i) value += columns[i * kBlockDims];
  value = value / sum / (1.0f + expf(-gate));
  const int64_t width = args.query_heads * head_dim, column = head * head_dim + out_dim;
  if (args.out != nullptr) args.out[row * width + column] = value;
  if (args.quantized.codes == nullptr) return;
  StoreInt8Run(args.quantized, row, column / kInt8Run, value, lane);
  if (head + 1 == args.query_heads && out_dim + kInt8Run >= head_dim) {  // the last warp pads the row
    for (int64_t run = width / kInt8Run; run < args.quantized.in_padded / kInt8Run; ++run) {
      StoreInt8Run(args.quantized, row, run, 0.0f, lane);
    }
  }
}

}  // namespace

Status LaunchCombine(const AttentionDecodeArgs& args, int64_t first_row, int64_t rows, Stream stream) {
  const dim3 blocks(static_cast<unsigned>(CeilDiv(args.kv.layout.head_dim, kBlockDims)),
                    static_cast<unsigned>(args.query_heads), static_cast<unsigned>(rows));
  Combine<<<blocks, kThreads, 0, stream>>>(args, static_cast<int>(first_row));
  return LaunchStatus("attention_combine");
}

}  // namespace qnext::cuda::attention
