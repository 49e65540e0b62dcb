// One run of 32 activations to int8, as kernels/reference/quantize_rows.cc does it.
#pragma once

#include "kernels/cuda/quantized_tile.cuh"

namespace qnext::cuda {

__device__ inline float Silu(float x) { return __fdiv_rn(x, 1.0f + expf(-x)); }

// scale = max|x| / 127; code = x / scale to nearest even. Zeros have scale 0. The quotient is at most 127 and a half
// rounding above it, so that no code passes 127.
__device__ inline float RunScale(float maximum) { return __fdiv_rn(maximum, 127.0f); }
__device__ inline int RunCode(float x, float scale) {
  return scale > 0 ? min(max(__float2int_rn(__fdiv_rn(x, scale)), -127), 127) : 0;
}

// Each lane has the value of one input of the run.
__device__ inline void QuantizeRun(float x, int8_t* codes, float* scale, int32_t* sum, int lane) {
  float maximum = fabsf(x);
#pragma unroll
  for (int step = kWarp / 2; step > 0; step /= 2) maximum = fmaxf(maximum, __shfl_xor_sync(kAllLanes, maximum, step));
  const float s = RunScale(maximum);
  const int code = RunCode(x, s);
  int total = code;
#pragma unroll
  for (int step = kWarp / 2; step > 0; step /= 2) total += __shfl_xor_sync(kAllLanes, total, step);
  codes[lane] = static_cast<int8_t>(code);
  if (lane == 0) *scale = s, *sum = total;
}

}  // namespace qnext::cuda
