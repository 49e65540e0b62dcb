// The number formats of the KV cache as operands of the matrix units.
//
// Products are sums over both operands' exact values: a cached number is one F16 (E4M3, int8) or BF16, or three BF16
// for float32, and a float32 that multiplies it (a query, a probability) comes as the sum of two F16 or three BF16
// numbers. A fragment of 16 rows holds 8 query heads: their first part in rows 0..7, the rest in rows 8..15, so that
// one lane has both sums of a head.
//
// The cache passes through shared memory in slices of 16 positions by 128 bytes, the 16-byte chunks of position p at
// chunk ^ (p % 8), so that eight positions' equal chunks lie in different banks.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "kernels/cuda/attention_ptx.cuh"
#include "kernels/kv_page.h"

namespace qnext::cuda::attention {

constexpr int kSliceRowBytes = 128;
constexpr int kSliceBytes = 16 * kSliceRowBytes;

// The left operand: 8 heads times 16 inputs.
struct Left {
  uint4 main;
  uint2 rest;  // the third part, for rows 8..15; BF16 only
};

// (a, b) as packed pairs whose sum is a and b: exact but for the last 2^-23 (F16, in its normal range).
__device__ inline void SplitPair(float a, float b, uint32_t (&parts)[2]) {
#pragma unroll
  for (uint32_t& part : parts) {
    const __half2 pair = __floats2half2_rn(a, b);
    a -= __low2float(pair), b -= __high2float(pair);
    part = reinterpret_cast<const uint32_t&>(pair);
  }
}
__device__ inline void SplitPair(float a, float b, uint32_t (&parts)[3]) {
#pragma unroll
  for (uint32_t& part : parts) {
    const __nv_bfloat162 pair = __floats2bfloat162_rn(a, b);
    a -= __low2float(pair), b -= __high2float(pair);
    part = reinterpret_cast<const uint32_t&>(pair);
  }
}

// The lane's share of a slice, four loads of four words.
struct Raw {
  uint32_t at[4][4];
};

// Lane's position within a slice for ldmatrix: matrices 0 and 1 are chunks 2i and 2i+1 of positions 0..7, 2 and 3 those
// of positions 8..15.
struct MatrixLane {
  int row_bytes, chunk;

  __device__ explicit MatrixLane(int lane) {
    const int row = (lane & 7) + (lane >> 4) * 8;
    row_bytes = row * kSliceRowBytes;
    chunk = (lane >> 3 & 1) ^ (row & 7);
  }
  __device__ uint32_t AddressOf(uint32_t slice, int pair) const {
    return slice + static_cast<uint32_t>(row_bytes + ((2 * pair ^ chunk) << 4));
  }
};

template <KvType kType>
struct KvFormat;

// Formats of 16 bits and fewer: what ldmatrix returns is a fragment, or what packs into one.
struct MatrixLoads {
  static __device__ void LoadKeys(uint32_t slice, int lane, Raw* raw) {
    const MatrixLane at(lane);
#pragma unroll
    for (int i = 0; i < 4; ++i) LoadMatrices(raw->at[i], at.AddressOf(slice, i));
  }
  static __device__ void LoadValues(uint32_t slice, int lane, Raw* raw) {
    const MatrixLane at(lane);
#pragma unroll
    for (int i = 0; i < 4; ++i) LoadMatricesTransposed(raw->at[i], at.AddressOf(slice, i));
  }
};

// Left operands of three BF16 parts.
struct ThreeParts {
  static constexpr bool kF16 = false;
  static constexpr float kProbabilityScale = 1;

  static __device__ Left MakeLeft(float a, float b, float c, float d) {
    uint32_t ab[3], cd[3];
    SplitPair(a, b, ab), SplitPair(c, d, cd);
    return {make_uint4(ab[0], ab[1], cd[0], cd[1]), make_uint2(ab[2], cd[2])};
  }
  static __device__ void Multiply(float (&sums)[4], const Left& left, const uint2& right) {
    MultiplyBF16(sums, left.main, right);
    MultiplyBF16(sums, make_uint4(0, left.rest.x, 0, left.rest.y), right);
  }
};

template <>
struct KvFormat<KvType::kBF16> : MatrixLoads, ThreeParts {
  static constexpr int kElementBytes = 2;
  static constexpr bool kRowScales = false;

  // Which of a step's 16 dims lane t multiplies as its i-th.
  static __device__ int StepDim(int t, int i) { return 2 * t + (i & 1) + (i >> 1) * 8; }
  static __device__ uint2 Keys(const Raw& raw, int step, int half) {
    return make_uint2(raw.at[step][2 * half], raw.at[step][2 * half + 1]);
  }
  // Which of a slice's dims is column 2t + i of an output tile.
  static __device__ int TileDim(int tile, int t, int i) { return tile * 8 + 2 * t + i; }
  static __device__ uint2 Values(const Raw& raw, int tile) {
    return make_uint2(raw.at[tile / 2][tile % 2], raw.at[tile / 2][2 + tile % 2]);
  }
};

// Formats of 8 bits: a word of keys is four dims of a position; a word of values is two dims of two positions, and
// makes the even and the odd tile of 16 dims.
struct Bytes : MatrixLoads {
  static constexpr int kElementBytes = 1;
  static constexpr bool kF16 = true;
  // Puts probabilities, of at most 1, where two F16 parts hold even small ones to 2^-39.
  static constexpr float kProbabilityScale = 16384;

  static __device__ Left MakeLeft(float a, float b, float c, float d) {
    uint32_t ab[2], cd[2];
    SplitPair(a, b, ab), SplitPair(c, d, cd);
    return {make_uint4(ab[0], ab[1], cd[0], cd[1]), make_uint2(0, 0)};
  }
  static __device__ void Multiply(float (&sums)[4], const Left& left, const uint2& right) {
    MultiplyF16(sums, left.main, right);
  }
  static __device__ int StepDim(int t, int i) { return 4 * t + i; }
  static __device__ int TileDim(int tile, int t, int i) { return tile / 2 * 16 + 4 * t + 2 * i + tile % 2; }
  static __device__ uint32_t KeyWord(const Raw& raw, int step, int half) {
    return raw.at[step / 2][2 * half + step % 2];
  }
  // Of positions 2t, 2t+1 (later 0) or 2t+8, 2t+9 (later 1).
  static __device__ uint32_t ValueWord(const Raw& raw, int tile, int later) {
    return raw.at[tile / 4][2 * later + tile / 2 % 2];
  }
};

template <>
struct KvFormat<KvType::kF8E4M3> : Bytes {
  static constexpr bool kRowScales = false;

  static __device__ uint2 Keys(const Raw& raw, int step, int half) {
    const uint32_t word = KeyWord(raw, step, half);
    return make_uint2(E4M3PairToF16(word), E4M3PairToF16(word >> 16));
  }
  static __device__ uint32_t ValuePair(uint32_t word, int odd) {
    return E4M3PairToF16(__byte_perm(word, 0, odd != 0 ? 0x4431 : 0x4420));
  }
  static __device__ uint2 Values(const Raw& raw, int tile) {
    return make_uint2(ValuePair(ValueWord(raw, tile, 0), tile % 2), ValuePair(ValueWord(raw, tile, 1), tile % 2));
  }
};

template <>
struct KvFormat<KvType::kInt8> : Bytes {
  static constexpr bool kRowScales = true;

  static __device__ uint2 Keys(const Raw& raw, int step, int half) {
    const uint32_t word = KeyWord(raw, step, half) ^ 0x80808080u;
    return make_uint2(BytesToF16<0x4140>(word), BytesToF16<0x4342>(word));
  }
  static __device__ uint32_t ValuePair(uint32_t word, int odd) {
    return odd != 0 ? BytesToF16<0x4341>(word ^ 0x80808080u) : BytesToF16<0x4240>(word ^ 0x80808080u);
  }
  static __device__ uint2 Values(const Raw& raw, int tile) {
    return make_uint2(ValuePair(ValueWord(raw, tile, 0), tile % 2), ValuePair(ValueWord(raw, tile, 1), tile % 2));
  }
};

// Float32, for exactness rather than speed: the cached number is split as well. Products below 2^-26 of the largest are
// left out.
template <>
struct KvFormat<KvType::kF32> {
  static constexpr int kElementBytes = 4;
  static constexpr bool kF16 = false;
  static constexpr bool kRowScales = false;
  static constexpr float kProbabilityScale = 1;

  static __device__ Left MakeLeft(float a, float b, float c, float d) { return ThreeParts::MakeLeft(a, b, c, d); }
  static __device__ void Multiply(float (&sums)[4], const Left& left, const float4& right) {
    uint32_t low[3], high[3];
    SplitPair(right.x, right.y, low), SplitPair(right.z, right.w, high);
    ThreeParts::Multiply(sums, left, make_uint2(low[0], high[0]));
    MultiplyBF16(sums, left.main, make_uint2(low[1], high[1]));
    MultiplyBF16(sums, left.main, make_uint2(low[2], high[2]));
  }

  static __device__ int StepDim(int t, int i) { return 4 * i + t; }
  static __device__ void LoadKeys(uint32_t slice, int lane, Raw* raw) { MatrixLoads::LoadKeys(slice, lane, raw); }
  static __device__ float4 Keys(const Raw& raw, int step, int half) {
    const auto number = [&](int pair, int i) { return __uint_as_float(raw.at[2 * step + pair][2 * half + i]); };
    return make_float4(number(0, 0), number(0, 1), number(1, 0), number(1, 1));
  }
  static __device__ int TileDim(int tile, int t, int i) { return tile * 8 + 2 * t + i; }
  static __device__ void LoadValues(uint32_t slice, int lane, Raw* raw) {
    const int g = lane >> 2, t = lane & 3;
#pragma unroll
    for (int tile = 0; tile < 4; ++tile) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int row = 2 * t + (i & 1) + (i >> 1) * 8, chunk = 2 * tile + (g >> 2);
        raw->at[tile][i] =
            LoadShared(slice + static_cast<uint32_t>(row * kSliceRowBytes + ((chunk ^ (row & 7)) << 4) + (g & 3) * 4));
      }
    }
  }
  static __device__ float4 Values(const Raw& raw, int tile) {
    return make_float4(__uint_as_float(raw.at[tile][0]), __uint_as_float(raw.at[tile][1]),
                       __uint_as_float(raw.at[tile][2]), __uint_as_float(raw.at[tile][3]));
  }
};

}  // namespace qnext::cuda::attention
