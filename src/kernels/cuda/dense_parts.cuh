// The parts of a dense product as kernels see them, and the element types.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "kernels/cuda/kernel_launch.h"
#include "kernels/cuda/product_plan.h"
#include "kernels/cuda/products.h"
#include "kernels/cuda/ptx.cuh"

namespace qnext::cuda {

struct DenseView {
  const uint8_t* weight;
  const float* x;
  float* y;
  int64_t x_stride, y_stride;
  int32_t out;
  int32_t items_end;  // items of this part and those before it
  bool x_vectors;     // rows of x may be read by 16 bytes
};

// Parts that are alike in type and inputs.
struct DenseViews {
  DenseView parts[kMaxParts];
  int32_t in, m, items;
};

// Weights in vectors of 16 bytes; Unpack widens vector words exactly.
struct BF16Weights {
  static constexpr int kBytes = 2, kVector = 8;
  __device__ static float2 Unpack(uint32_t word) {
    return make_float2(__uint_as_float(word << 16), __uint_as_float(word & 0xffff0000u));
  }
  __device__ static uint32_t Pack(float2 v) {
    const __nv_bfloat162 pair = __floats2bfloat162_rn(v.x, v.y);
    return *reinterpret_cast<const uint32_t*>(&pair);
  }
  __device__ static void MultiplyAdd(float (&c)[4], const uint4& a, const uint2& b) { MultiplyBF16(c, a, b); }
};

struct F16Weights {
  static constexpr int kBytes = 2, kVector = 8;
  __device__ static float2 Unpack(uint32_t word) { return __half22float2(*reinterpret_cast<const __half2*>(&word)); }
  __device__ static uint32_t Pack(float2 v) {
    const __half2 pair = __floats2half2_rn(v.x, v.y);
    return *reinterpret_cast<const uint32_t*>(&pair);
  }
  __device__ static void MultiplyAdd(float (&c)[4], const uint4& a, const uint2& b) { MultiplyF16(c, a, b); }
};

struct F32Weights {
  static constexpr int kBytes = 4, kVector = 4;
};

Status LaunchDenseGemm(DType dtype, const DenseViews& views, int count, Stream stream);

}  // namespace qnext::cuda
