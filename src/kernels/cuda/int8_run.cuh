// 32 activations to int8, one a lane, as kernels/reference/quantize_rows.cc does it.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/kernels.h"

namespace qnext::cuda {

constexpr int64_t kInt8Run = 32;  // inputs that share a scale

// Run `run` of row `row`. All lanes of the warp take part.
__device__ inline void StoreInt8Run(const Int8Rows& rows, int64_t row, int64_t run, float x, int lane) {
  float maximum = fabsf(x);
#pragma unroll
  for (int step = 16; step > 0; step /= 2) maximum = fmaxf(maximum, __shfl_xor_sync(0xffffffffu, maximum, step));
  const float scale = __fdiv_rn(maximum, 127.0f);
  const int code = scale > 0 ? max(-127, min(127, __float2int_rn(__fdiv_rn(x, scale)))) : 0;
  int sum = code;
#pragma unroll
  for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
  rows.codes[row * rows.in_padded + run * kInt8Run + lane] = static_cast<int8_t>(code);
  const int64_t at = row * (rows.in_padded / kInt8Run) + run;
  if (lane == 0) rows.scales[at] = scale, rows.sums[at] = sum;
}

}  // namespace qnext::cuda
