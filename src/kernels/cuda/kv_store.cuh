// Rows of the KV cache written by one warp, byte for byte as kernels/reference/kv_row.cc writes them.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "kernels/kv_page.h"

namespace qnext::cuda {

// To nearest even; NaN stays NaN.
__device__ inline uint32_t BF16Code(float x) {
  const uint32_t bits = __float_as_uint(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return (bits >> 16) | 0x40u;
  return (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
}

// To nearest even, saturating at 448; NaN keeps its sign (the instruction of compute capability 8.9 drops it).
__device__ inline uint32_t E4M3Code(float x) {
  const uint32_t sign = __float_as_uint(x) >> 24 & 0x80u;
  if (x != x) return sign | 0x7fu;
  const float magnitude = fminf(fabsf(x), 448.0f);
  // The format's spacing around the magnitude is 2^(exponent - 3), and 2^-9 below its smallest normal number.
  const int exponent = max((__float_as_int(magnitude) >> 23) - 127, -6);
  const int steps = __float2int_rn(magnitude * __int_as_float((127 + 3 - exponent) << 23));
  return sign | static_cast<uint32_t>((exponent + 6) * 8 + steps);
}

__device__ inline uint32_t Int8Code(float x, float scale) {
  if (!(scale > 0)) return 0;
  return static_cast<uint32_t>(max(-127, min(127, __float2int_rn(__fdiv_rn(x, scale))))) & 0xffu;
}

// The row's scale. Lanes bring their largest magnitude, infinity where one of their numbers is not finite.
__device__ inline float Int8RowScale(float largest) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) largest = fmaxf(largest, __shfl_xor_sync(0xffffffffu, largest, step));
  return isinf(largest) ? __int_as_float(0x7fc00000) : __fdiv_rn(largest, 127.0f);
}

// Four neighbouring elements, of a row that begins at `row` and is aligned to four of them. `scale`: int8 only.
__device__ inline void StoreKvQuad(std::byte* row, KvType type, int dim, const float4& x, float scale) {
  switch (type) {
    case KvType::kF32:
      *reinterpret_cast<float4*>(row + dim * 4) = x;
      break;
    case KvType::kBF16:
      *reinterpret_cast<uint2*>(row + dim * 2) =
          make_uint2(BF16Code(x.x) | BF16Code(x.y) << 16, BF16Code(x.z) | BF16Code(x.w) << 16);
      break;
    case KvType::kF8E4M3:
      *reinterpret_cast<uint32_t*>(row + dim) =
          E4M3Code(x.x) | E4M3Code(x.y) << 8 | E4M3Code(x.z) << 16 | E4M3Code(x.w) << 24;
      break;
    case KvType::kInt8:
      *reinterpret_cast<uint32_t*>(row + dim) =
          Int8Code(x.x, scale) | Int8Code(x.y, scale) << 8 | Int8Code(x.z, scale) << 16 | Int8Code(x.w, scale) << 24;
      break;
  }
}

}  // namespace qnext::cuda
