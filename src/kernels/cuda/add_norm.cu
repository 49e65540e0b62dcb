// The end of one half of a layer and the beginning of the next: residual sum, norm, and the forms that products read.
#include "hw/cuda/cuda_status.h"
#include "kernels/cuda/int8_rows.cuh"
#include "kernels/cuda/kernel_launch.h"
#include "kernels/cuda/row_ops.h"

namespace qnext::cuda {
namespace {

constexpr int kNormThreads = 512;

// The sum over the block, the same in every thread; warps and lanes are added in a fixed order.
__device__ float BlockSum(float x) {
  __shared__ float parts[kNormThreads / 32];
  for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(0xffffffffu, x, step);
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
  __syncthreads();
  float sum = 0;
  for (const float part : parts) sum += part;
  return sum;
}

// Rows of up to kPerThread * kNormThreads: everything is asked for before anything is waited for, and stays in
// registers. Sums and their order are those of AddNormOfAnyDim.
template <int kPerThread>
__global__ void __launch_bounds__(kNormThreads) AddNorm(AddNormArgs args) {
  const int64_t row = blockIdx.x, at = row * args.dim;
  const int first = static_cast<int>(threadIdx.x), dim = static_cast<int>(args.dim);
  float x[kPerThread], addend[kPerThread], addend2[kPerThread], shared[kPerThread], weight[kPerThread];
  const auto load = [&](float(&to)[kPerThread], const float* from) {
#pragma unroll
    for (int k = 0; k < kPerThread; ++k) {
      const int i = first + k * kNormThreads;
      to[k] = from != nullptr && i < dim ? from[i] : 0.0f;
    }
  };
  load(x, args.hidden + at);
  load(addend, args.addend != nullptr ? args.addend + at : nullptr);
  load(addend2, args.addend2 != nullptr ? args.addend2 + at : nullptr);
  load(shared, args.shared != nullptr ? args.shared + at : nullptr);
  load(weight, args.weight);
  const float gate = args.shared != nullptr ? __fdiv_rn(1.0f, 1.0f + expf(-args.shared_gate[row])) : 0.0f;
  float squares = 0;
#pragma unroll
  for (int k = 0; k < kPerThread; ++k) {
    const int i = first + k * kNormThreads;
    if (args.addend != nullptr) x[k] += addend[k];
    if (args.addend2 != nullptr) x[k] += addend2[k];
    if (args.shared != nullptr) x[k] += gate * shared[k];
    if (i < dim) args.hidden[at + i] = x[k];
    squares += x[k] * x[k];
  }
  const float mean = __fdiv_rn(BlockSum(squares), static_cast<float>(args.dim));
  const float factor = __fdiv_rn(1.0f, sqrtf(mean + args.eps));
  const int padded =
      static_cast<int>(args.quantized.codes != nullptr ? args.quantized.in_padded : (args.dim + 31) / 32 * 32);
#pragma unroll
  for (int k = 0; k < kPerThread; ++k) {
    const int i = first + k * kNormThreads;
    if (i >= padded) break;
    const float y = i < dim ? x[k] * factor * (1.0f + weight[k]) : 0.0f;
    if (args.normed != nullptr && i < dim) args.normed[at + i] = y;
    if (args.quantized.codes != nullptr) StoreRun(args.quantized, row, i / 32, y, first % 32);
  }
}

__global__ void __launch_bounds__(kNormThreads) AddNormOfAnyDim(AddNormArgs args) {
  const int64_t row = blockIdx.x, at = row * args.dim;
  const float gate = args.shared != nullptr ? __fdiv_rn(1.0f, 1.0f + expf(-args.shared_gate[row])) : 0.0f;
  float squares = 0;
  for (int64_t i = threadIdx.x; i < args.dim; i += kNormThreads) {
    float x = args.hidden[at + i];
    if (args.addend != nullptr) x += args.addend[at + i];
    if (args.addend2 != nullptr) x += args.addend2[at + i];
    if (args.shared != nullptr) x += gate * args.shared[at + i];
    args.hidden[at + i] = x;
    squares += x * x;
  }
  const float mean = __fdiv_rn(BlockSum(squares), static_cast<float>(args.dim));
  const float factor = __fdiv_rn(1.0f, sqrtf(mean + args.eps));
  const int64_t padded = args.quantized.codes != nullptr ? args.quantized.in_padded : (args.dim + 31) / 32 * 32;
  // Each thread reads back what it wrote; the lanes of a warp hold one run of 32.
  for (int64_t i = threadIdx.x; i < padded; i += kNormThreads) {
    const float y = i < args.dim ? args.hidden[at + i] * factor * (1.0f + args.weight[i]) : 0.0f;
    if (args.normed != nullptr && i < args.dim) args.normed[at + i] = y;
    if (args.quantized.codes != nullptr) StoreRun(args.quantized, row, i / 32, y, static_cast<int>(threadIdx.x % 32));
  }
}

}  // namespace

Status LaunchAddNorm(const AddNormArgs& args, Stream stream) {
  if (args.quantized.codes != nullptr && (args.quantized.in_padded % 32 != 0 || args.quantized.in_padded < args.dim)) {
    return Internal("add_norm: in_padded is dim rounded up to runs of 32");
  }
  const LaunchShape shape = {.blocks_x = args.m, .threads_x = kNormThreads};
  const int64_t padded = args.quantized.codes != nullptr ? args.quantized.in_padded : args.dim;
  if (padded <= 4 * kNormThreads) return LaunchKernel("add_norm", AddNorm<4>, shape, stream, args);
  if (padded <= 8 * kNormThreads) return LaunchKernel("add_norm", AddNorm<8>, shape, stream, args);
  return LaunchKernel("add_norm", AddNormOfAnyDim, shape, stream, args);
}

}  // namespace qnext::cuda
