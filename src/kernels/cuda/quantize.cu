// Rows of float32 to int8 codes, gathered where a checkpoint orders its inputs.
#include "hw/cuda/cuda_status.h"
#include "kernels/cuda/int8_rows.cuh"
#include "kernels/cuda/kernel_launch.h"
#include "kernels/cuda/row_ops.h"

namespace qnext::cuda {
namespace {

constexpr int kWarpsPerBlock = 8;

// One warp a run of 32 inputs.
__global__ void Quantize(QuantizeArgs args) {
  const int lane = static_cast<int>(threadIdx.x);
  const int64_t runs = args.out.in_padded / 32;
  const int64_t item = blockIdx.x * int64_t{kWarpsPerBlock} + threadIdx.y;
  if (item >= args.m * runs) return;
  const int64_t row = item / runs, input = item % runs * 32 + lane;
  float x = 0;
  if (input < args.in) {
    x = args.x[row * args.x_stride + (args.permutation != nullptr ? args.permutation[input] : input)];
  }
  StoreRun(args.out, row, item % runs, x, lane);
}

__global__ void SiluMul(SiluMulQuantizeArgs args, int64_t runs) {
  const int lane = static_cast<int>(threadIdx.x);
  const int64_t item = blockIdx.x * int64_t{kWarpsPerBlock} + threadIdx.y;
  if (item >= args.m * runs) return;
  const int64_t row = item / runs, i = item % runs * 32 + lane;
  const float y = i < args.dim ? Silu(args.gate[row * args.dim + i]) * args.up[row * args.dim + i] : 0.0f;
  if (args.out != nullptr && i < args.dim) args.out[row * args.dim + i] = y;
  if (args.quantized.codes != nullptr) StoreRun(args.quantized, row, item % runs, y, lane);
}

LaunchShape WarpPerItem(int64_t items) {
  return {.blocks_x = CeilDiv(items, int64_t{kWarpsPerBlock}), .threads_x = 32, .threads_y = kWarpsPerBlock};
}

}  // namespace

Status LaunchQuantize(const QuantizeArgs& args, Stream stream) {
  if (args.out.in_padded % 32 != 0 || args.out.in_padded < args.in) {
    return Internal("quantize: in_padded is a multiple of 32 that holds the inputs");
  }
  return LaunchKernel("quantize", Quantize, WarpPerItem(args.m * (args.out.in_padded / 32)), stream, args);
}

Status LaunchSiluMul(const SiluMulQuantizeArgs& args, Stream stream) {
  const bool quantizes = args.quantized.codes != nullptr;
  if (quantizes && (args.quantized.in_padded % 32 != 0 || args.quantized.in_padded < args.dim)) {
    return Internal("silu_mul: in_padded is a multiple of 32 that holds dim");
  }
  const int64_t runs = quantizes ? args.quantized.in_padded / 32 : CeilDiv(args.dim, int64_t{32});
  return LaunchKernel("silu_mul", SiluMul, WarpPerItem(args.m * runs), stream, args, runs);
}

}  // namespace qnext::cuda
