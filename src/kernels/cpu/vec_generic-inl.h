// The vectors of the matrix products in portable C++: arrays and plain loops, which compilers vectorise as they can.
// Rows: one value for each of the 16 output rows of a tile. Lanes: 8 neighbouring inputs.
#include <bit>

#include "kernels/cpu/isa_ops.h"

namespace qnext::QNEXT_ISA {
namespace {

// Activation rows computed together, at most.
constexpr int kI8MaxRows = 4;
constexpr int kF32MaxRows = 4;
constexpr int kDenseMaxRows = 2;
// Neighbouring int4 tiles, and output rows of a dense matrix, computed together with m activation rows: enough
// independent sums to hide the latency of a multiply-add, few enough to stay in registers.
constexpr int F32JointTiles(int) { return 1; }
constexpr int DenseTileRows(int) { return 2; }
constexpr int64_t kI8PrefetchBytes = 0;
constexpr int64_t kF32PrefetchBytes = 0;

inline void Prefetch(const void*) {}

inline float WidenBF16(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }
// The exponent is moved by a multiplication, which is exact and treats subnormals alike.
inline float WidenF16(uint16_t bits) {
  const uint32_t magnitude = uint32_t{bits} & 0x7fffu;
  const float finite = std::bit_cast<float>(magnitude << 13) * 0x1p112f;
  const uint32_t special = magnitude >= 0x7c00u ? 0x7f800000u : 0u;  // infinities and NaN
  const uint32_t sign = (uint32_t{bits} & 0x8000u) << 16;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(finite) | special | sign);
}

struct Rows {
  float v[16];
};
inline Rows ZeroRows() { return {}; }
inline Rows SplatRows(const float* p) {
  Rows rows;
  for (float& v : rows.v) v = *p;
  return rows;
}
// Fused, so that the int8 product equals that of the other ISAs bit for bit; its price is a library call on processors
// without the instruction, paid once per run of 32 inputs.
inline Rows MulAdd(const Rows& a, const Rows& b, const Rows& c) {
  Rows rows;
  for (int r = 0; r < 16; ++r) rows.v[r] = __builtin_fmaf(a.v[r], b.v[r], c.v[r]);
  return rows;
}
// Once per input, so not fused: a rounding more than on the other ISAs.
inline Rows MulAddInput(const Rows& a, const Rows& b, const Rows& c) {
  Rows rows;
  for (int r = 0; r < 16; ++r) rows.v[r] = a.v[r] * b.v[r] + c.v[r];
  return rows;
}
inline void StoreRows(const Rows& rows, float* y, int64_t rows_left) {
  for (int64_t r = 0; r < 16 && r < rows_left; ++r) y[r] = rows.v[r];
}
inline Rows LoadScales(const uint16_t* p, bool bf16) {
  Rows rows;
  for (int r = 0; r < 16; ++r) rows.v[r] = bf16 ? WidenBF16(p[r]) : WidenF16(p[r]);
  return rows;
}

struct Codes {
  uint8_t v[64];
};
inline Codes LoadCodes(const uint8_t* p) {
  Codes codes;
  for (int i = 0; i < 64; ++i) codes.v[i] = p[i];
  return codes;
}
inline Codes LowCodes(const Codes& pairs) {
  Codes codes;
  for (int i = 0; i < 64; ++i) codes.v[i] = pairs.v[i] & 15u;
  return codes;
}
inline Codes HighCodes(const Codes& pairs) {
  Codes codes;
  for (int i = 0; i < 64; ++i) codes.v[i] = static_cast<uint8_t>(pairs.v[i] >> 4);
  return codes;
}

struct Zeros {
  int32_t v[16];
};
inline Zeros EightZeros() {
  Zeros zeros;
  for (int32_t& v : zeros.v) v = 8;
  return zeros;
}
inline Zeros LoadZeros(const uint8_t* p) {
  Zeros zeros;
  for (int r = 0; r < 16; ++r) zeros.v[r] = p[r];
  return zeros;
}

struct Dots {
  int32_t v[16];
};
inline Dots StartDots(const Zeros& zero, const int32_t* sum) {
  Dots dots;
  for (int r = 0; r < 16; ++r) dots.v[r] = -zero.v[r] * *sum;
  return dots;
}
using Inputs = const int8_t*;
inline Inputs LoadInputs(const int8_t* x) { return x; }
inline Dots AddDots(Dots dots, const Codes& codes, Inputs x) {
  for (int r = 0; r < 16; ++r) {
    int32_t four = 0;
    for (int i = 0; i < 4; ++i) four += codes.v[r * 4 + i] * x[i];
    dots.v[r] += four;
  }
  return dots;
}
inline Rows FinishDots(const Dots& dots, const Zeros&, const int32_t*) {
  Rows rows;
  for (int r = 0; r < 16; ++r) rows.v[r] = static_cast<float>(dots.v[r]);
  return rows;
}

using SignedCodes = const int8_t*;
inline SignedCodes LoadSignedCodes(const int8_t* p) { return p; }
inline Dots StartSignedDots(const int32_t*) { return {}; }
inline Dots AddSignedDots(Dots dots, SignedCodes codes, Inputs x) {
  for (int r = 0; r < 16; ++r) {
    int32_t four = 0;
    for (int i = 0; i < 4; ++i) four += codes[r * 4 + i] * x[i];
    dots.v[r] += four;
  }
  return dots;
}
inline Rows FinishSignedDots(const Dots& dots) {
  Rows rows;
  for (int r = 0; r < 16; ++r) rows.v[r] = static_cast<float>(dots.v[r]);
  return rows;
}
inline Rows LoadFloatScales(const float* p) {
  Rows rows;
  for (int r = 0; r < 16; ++r) rows.v[r] = p[r];
  return rows;
}

inline Rows LoadFloatZeros(const uint8_t* p) {
  Rows rows;
  for (int r = 0; r < 16; ++r) rows.v[r] = p[r];
  return rows;
}
template <int kInput, bool kHasZeros>
inline Rows CodeFloats(const Codes& pairs, const Rows& zero) {
  Rows rows;
  for (int r = 0; r < 16; ++r) {
    const uint8_t pair = pairs.v[r * 4 + kInput % 4];
    const int32_t code = kInput < 4 ? pair & 15 : pair >> 4;
    rows.v[r] = static_cast<float>(code) - (kHasZeros ? zero.v[r] : 8.0f);
  }
  return rows;
}

constexpr int64_t kLanes = 8;
struct Lanes {
  float v[8];
};
inline Lanes ZeroLanes() { return {}; }
inline Lanes LoadSomeLanes(const float* p, int64_t count) {
  Lanes lanes = {};
  for (int64_t i = 0; i < count; ++i) lanes.v[i] = p[i];
  return lanes;
}
inline Lanes LoadLanes(const float* p) { return LoadSomeLanes(p, kLanes); }
inline Lanes InRegister(const Lanes& v) { return v; }
inline Lanes MulAddLanes(const Lanes& a, const Lanes& b, const Lanes& c) {
  Lanes lanes;
  for (int i = 0; i < 8; ++i) lanes.v[i] = a.v[i] * b.v[i] + c.v[i];
  return lanes;
}
template <DenseType kType>
inline Lanes LoadSomeWeights(const void* p, int64_t count) {
  if constexpr (kType == DenseType::kF32) return LoadSomeLanes(static_cast<const float*>(p), count);
  const auto* bits = static_cast<const uint16_t*>(p);
  Lanes lanes = {};
  for (int64_t i = 0; i < count; ++i) lanes.v[i] = kType == DenseType::kF16 ? WidenF16(bits[i]) : WidenBF16(bits[i]);
  return lanes;
}
template <DenseType kType>
inline Lanes LoadWeights(const void* p) {
  return LoadSomeWeights<kType>(p, kLanes);
}
inline float SumLanes(const Lanes& a) {
  return ((a.v[0] + a.v[4]) + (a.v[2] + a.v[6])) + ((a.v[1] + a.v[5]) + (a.v[3] + a.v[7]));
}

inline void QuantizeRun(const float* x, int8_t* codes, float* scale_out, int32_t* sum_out) {
  float largest = 0;
  for (int i = 0; i < 32; ++i) {
    const float magnitude = x[i] < 0 ? -x[i] : x[i];
    largest = magnitude > largest ? magnitude : largest;
  }
  const float scale = largest / 127.0f;
  *scale_out = scale;
  int32_t sum = 0;
  for (int i = 0; i < 32; ++i) {
    float q = scale == 0 ? 0.0f : x[i] / scale;
    q = q > 127.0f ? 127.0f : q;
    q = q < -127.0f ? -127.0f : q;
    const float rounder = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer, to nearest even
    const auto code = static_cast<int32_t>((q + rounder) - rounder);
    codes[i] = static_cast<int8_t>(code);
    sum += code;
  }
  *sum_out = sum;
}

}  // namespace
}  // namespace qnext::QNEXT_ISA
