// DeltaNet's output norm.
#include "hw/cuda/cuda_status.h"
#include "kernels/cuda/int8_run.cuh"
#include "kernels/cuda/row_ops.h"

namespace qnext::cuda {
namespace {

constexpr int kWarps = 4;     // heads of a block
constexpr int kMostRuns = 8;  // of 32 dims, one a lane

// A warp takes one head of one row.
__global__ void __launch_bounds__(kWarps * 32) GatedNorm(const GatedNormArgs args) {
  const int lane = threadIdx.x % 32, size = static_cast<int>(args.head_dim), runs = size / 32;
  const int64_t item = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32;
  if (item >= args.m * args.value_heads) return;
  const int64_t row = item / args.value_heads, head = item % args.value_heads;
  const int64_t ratio = args.value_heads / args.key_heads;
  const float* o = args.o + item * size;
  // K groups of (q S | k S | v r*S | z r*S)
  const float* z =
      args.qkvz + (row * args.key_heads + head / ratio) * (2 + 2 * ratio) * size + (2 + ratio + head % ratio) * size;

  float x[kMostRuns], gate[kMostRuns];
  float squares = 0;
#pragma unroll
  for (int run = 0; run < kMostRuns; ++run) {
    x[run] = run < runs ? o[run * 32 + lane] : 0.0f;
    gate[run] = run < runs ? z[run * 32 + lane] : 0.0f;
    squares = fmaf(x[run], x[run], squares);
  }
#pragma unroll
  for (int step = 16; step > 0; step /= 2) squares += __shfl_xor_sync(0xffffffffu, squares, step);
  const float inverse = 1.0f / sqrtf(squares / static_cast<float>(size) + args.eps);
#pragma unroll
  for (int run = 0; run < kMostRuns; ++run) {
    if (run >= runs) break;
    const float silu = gate[run] / (1.0f + expf(-gate[run]));
    const float value = x[run] * inverse * args.weight[run * 32 + lane] * silu;
    if (args.out != nullptr) args.out[item * size + run * 32 + lane] = value;
    if (args.quantized.codes != nullptr) StoreInt8Run(args.quantized, row, head * runs + run, value, lane);
  }
  if (args.quantized.codes == nullptr || head + 1 < args.value_heads) return;
  for (int64_t run = args.value_heads * runs; run < args.quantized.in_padded / kInt8Run; ++run) {
    StoreInt8Run(args.quantized, row, run, 0.0f, lane);
  }
}

}  // namespace

Status LaunchGatedNorm(const GatedNormArgs& args, Stream stream) {
  if (args.head_dim <= 0 || args.head_dim % 32 != 0 || args.head_dim > kMostRuns * 32) {
    return Unsupported("gated_norm: head dims are multiples of 32 up to 256");
  }
  if (args.quantized.codes != nullptr && args.quantized.in_padded < args.value_heads * args.head_dim) {
    return InvalidArgument("gated_norm: int8 rows too short");
  }
  if (args.m == 0) return Status();
  const int64_t blocks = CeilDiv(args.m * args.value_heads, kWarps);
  GatedNorm<<<static_cast<unsigned>(blocks), kWarps * 32, 0, stream>>>(args);
  return LaunchStatus("gated_norm");
}

}  // namespace qnext::cuda
