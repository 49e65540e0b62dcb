// What the kernels of DeltaNet share. Everything that decode and prefill both compute is written here once, with its
// roundings spelled out, so that the two give the same bits.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cuda/delta.h"

namespace qnext::cuda::delta {

constexpr int kRing = static_cast<int>(kConvRing);

__device__ inline int Channels(const DeltaStepArgs& args) {
  return static_cast<int>((2 * args.key_heads + args.value_heads) * args.head_dim);
}
__device__ inline int64_t QkvzWidth(const DeltaStepArgs& args) {
  return 2 * (args.key_heads + args.value_heads) * args.head_dim;
}

// Where channel c of (all q | all k | all v) stands in a row of qkvz, K groups of (q S | k S | v r*S | z r*S).
__device__ inline int64_t ColumnOf(const DeltaStepArgs& args, int c) {
  const int size = static_cast<int>(args.head_dim), ratio = static_cast<int>(args.value_heads / args.key_heads);
  const int keys = static_cast<int>(args.key_heads) * size, group_width = (2 + 2 * ratio) * size;
  if (c < keys) return c / size * group_width + c % size;
  if (c < 2 * keys) return (c - keys) / size * group_width + size + (c - keys) % size;
  const int v = c - 2 * keys;
  return v / (ratio * size) * group_width + 2 * size + v % (ratio * size);
}

// The convolution of a channel's last four inputs, oldest first, then silu.
__device__ inline float ConvSilu(const float4& weight, float x0, float x1, float x2, float x3) {
  const float sum = __fmaf_rn(weight.w, x3, __fmaf_rn(weight.z, x2, __fmaf_rn(weight.y, x1, __fmul_rn(weight.x, x0))));
  return __fdiv_rn(sum, __fadd_rn(1.0f, expf(-sum)));
}

struct Gates {
  float decay, beta;  // exp(g), sigmoid(b)
};

// g = -rate * softplus(a + dt_bias) with rate = exp(A_log).
__device__ inline Gates GatesOf(float b, float a, float rate, float dt_bias) {
  const float x = __fadd_rn(a, dt_bias);
  const float softplus = __fadd_rn(fmaxf(x, 0.0f), log1pf(expf(-fabsf(x))));
  return {expf(-__fmul_rn(rate, softplus)), __fdiv_rn(1.0f, __fadd_rn(1.0f, expf(-b)))};
}

// q, k and v of all tokens after the convolution and silu, into args.conv. Does not touch the ring.
Status LaunchConv(const DeltaStepArgs& args, Stream stream);

}  // namespace qnext::cuda::delta
