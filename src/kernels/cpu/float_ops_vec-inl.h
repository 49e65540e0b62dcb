// A vector of kWidth floats: loads, reductions, transposition, exp. Part of float_ops-inl.h.
//
// GCC vector types carry + - * / and comparisons; intrinsics stand only where those have no spelling.
#if QNEXT_FLOAT_OPS_WIDTH > 4
#include <immintrin.h>
#endif

#include <cstddef>
#include <cstdint>

namespace qnext::QNEXT_FLOAT_OPS_ISA {
namespace {

constexpr int kWidth = QNEXT_FLOAT_OPS_WIDTH;
typedef float Floats __attribute__((vector_size(4 * QNEXT_FLOAT_OPS_WIDTH)));
typedef int32_t Ints __attribute__((vector_size(4 * QNEXT_FLOAT_OPS_WIDTH)));
typedef uint32_t Words __attribute__((vector_size(4 * QNEXT_FLOAT_OPS_WIDTH)));
typedef uint16_t Halves __attribute__((vector_size(2 * QNEXT_FLOAT_OPS_WIDTH)));
typedef uint8_t Bytes __attribute__((vector_size(QNEXT_FLOAT_OPS_WIDTH)));

#define QNEXT_INLINE [[gnu::always_inline]] inline

template <typename T>
QNEXT_INLINE T Min(T a, T b) {
  return a < b ? a : b;
}

QNEXT_INLINE Floats Zero() { return Floats{}; }
QNEXT_INLINE Floats Splat(float x) { return x - Floats{}; }
QNEXT_INLINE Words SplatWord(uint32_t x) { return x - Words{}; }
QNEXT_INLINE Words AsWords(Floats x) { return __builtin_bit_cast(Words, x); }
QNEXT_INLINE Floats AsFloats(Words x) { return __builtin_bit_cast(Floats, x); }
QNEXT_INLINE Floats Max(Floats a, Floats b) { return a > b ? a : b; }

// a * b + c, one rounding where the instruction set has a fused multiply-add.
QNEXT_INLINE Floats Fma(Floats a, Floats b, Floats c) {
#if QNEXT_FLOAT_OPS_WIDTH == 16
  return _mm512_fmadd_ps(a, b, c);
#elif QNEXT_FLOAT_OPS_WIDTH == 8
  return _mm256_fmadd_ps(a, b, c);
#else
  return a * b + c;
#endif
}

QNEXT_INLINE Floats Load(const float* p) {
  Floats v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
QNEXT_INLINE void Store(float* p, Floats v) { __builtin_memcpy(p, &v, sizeof v); }

#if QNEXT_FLOAT_OPS_WIDTH == 8
QNEXT_INLINE __m256i LaneMask(int64_t lanes) {
  const Ints iota = {0, 1, 2, 3, 4, 5, 6, 7};
  return __builtin_bit_cast(__m256i, iota < static_cast<int32_t>(lanes));
}
#endif

// The first `lanes` floats at p (1 <= lanes <= kWidth), zeros after; touches no memory past them.
QNEXT_INLINE Floats LoadFirst(const float* p, int64_t lanes) {
  if (lanes == kWidth) return Load(p);
#if QNEXT_FLOAT_OPS_WIDTH == 16
  return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << lanes) - 1), p);
#elif QNEXT_FLOAT_OPS_WIDTH == 8
  return _mm256_maskload_ps(p, LaneMask(lanes));
#else
  Floats v = Zero();
  for (int64_t i = 0; i < lanes; ++i) v[i] = p[i];
  return v;
#endif
}

QNEXT_INLINE void StoreFirst(float* p, Floats v, int64_t lanes) {
  if (lanes == kWidth) return Store(p, v);
#if QNEXT_FLOAT_OPS_WIDTH == 16
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << lanes) - 1), v);
#elif QNEXT_FLOAT_OPS_WIDTH == 8
  _mm256_maskstore_ps(p, LaneMask(lanes), v);
#else
  for (int64_t i = 0; i < lanes; ++i) p[i] = v[i];
#endif
}

// Calls body(offset, lanes) for each vector of a row of n floats. The last one may be partial.
template <typename Body>
QNEXT_INLINE void ForVectors(int64_t n, Body body) {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) body(i, static_cast<int64_t>(kWidth));
  if (i < n) body(i, n - i);
}

// Lane numbers as a type, so that shuffles can compute theirs from them.
template <int... kLanes>
struct LaneList {};
#if QNEXT_FLOAT_OPS_WIDTH == 16
using Lanes = LaneList<0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15>;
#elif QNEXT_FLOAT_OPS_WIDTH == 8
using Lanes = LaneList<0, 1, 2, 3, 4, 5, 6, 7>;
#else
using Lanes = LaneList<0, 1, 2, 3>;
#endif

template <int kBit, int... kLanes>
QNEXT_INLINE Floats SwapLanes(Floats v, LaneList<kLanes...>) {
  return __builtin_shufflevector(v, v, (kLanes ^ kBit)...);
}
// a0 b0 a1 b1 ... of the lower (kHalf = 0) or upper (kHalf = 1) halves.
template <int kHalf, int... kLanes>
QNEXT_INLINE Floats Interleave(Floats a, Floats b, LaneList<kLanes...>) {
  return __builtin_shufflevector(a, b, (kHalf * (kWidth / 2) + kLanes / 2 + kLanes % 2 * kWidth)...);
}

// The sum of all lanes, as a balanced tree.
QNEXT_INLINE float SumLanes(Floats v) {
  if constexpr (kWidth > 8) v = v + SwapLanes<8 & (kWidth - 1)>(v, Lanes{});
  if constexpr (kWidth > 4) v = v + SwapLanes<4 & (kWidth - 1)>(v, Lanes{});
  v = v + SwapLanes<2>(v, Lanes{});
  v = v + SwapLanes<1>(v, Lanes{});
  return v[0];
}
QNEXT_INLINE float MaxLanes(Floats v) {
  if constexpr (kWidth > 8) v = Max(v, SwapLanes<8 & (kWidth - 1)>(v, Lanes{}));
  if constexpr (kWidth > 4) v = Max(v, SwapLanes<4 & (kWidth - 1)>(v, Lanes{}));
  v = Max(v, SwapLanes<2>(v, Lanes{}));
  v = Max(v, SwapLanes<1>(v, Lanes{}));
  return v[0];
}

// Transposes kWidth rows of kWidth floats in place: log2(kWidth) rounds of interleaving row i with row i + kWidth/2.
QNEXT_INLINE void Transpose(Floats (&rows)[kWidth]) {
#pragma GCC unroll 4
  for (int round = 1; round < kWidth; round *= 2) {
    Floats next[kWidth];
#pragma GCC unroll 8
    for (int i = 0; i < kWidth / 2; ++i) {
      next[2 * i] = Interleave<0>(rows[i], rows[i + kWidth / 2], Lanes{});
      next[2 * i + 1] = Interleave<1>(rows[i], rows[i + kWidth / 2], Lanes{});
    }
#pragma GCC unroll 16
    for (int i = 0; i < kWidth; ++i) rows[i] = next[i];
  }
}

// e^x within 2 ulp (docs/numerics.md); +inf above 88.73, 0 below -104, NaN of NaN.
// x = n ln 2 + r with |r| <= ln(2)/2; e^r by its Taylor polynomial of degree 7; 2^n in two factors, so that neither
// overflows and subnormal results come out rounded once.
QNEXT_INLINE Floats Exp(Floats x) {
  const Floats highest = Splat(89.0f), lowest = Splat(-110.0f);
  x = x > highest ? highest : x;
  x = x < lowest ? lowest : x;
  const Floats magic = Splat(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
  const Floats shifted = Fma(x, Splat(1.44269504f), magic);
  const Floats n = shifted - magic;
  Floats r = Fma(n, Splat(-0.693359375f), x);  // ln 2 = 0.693359375 - 2.1219444e-4; the first product is exact
  r = Fma(n, Splat(2.12194440e-4f), r);
  Floats p = Splat(1.0f / 5040);
  p = Fma(p, r, Splat(1.0f / 720));
  p = Fma(p, r, Splat(1.0f / 120));
  p = Fma(p, r, Splat(1.0f / 24));
  p = Fma(p, r, Splat(1.0f / 6));
  p = Fma(p, r, Splat(0.5f));
  p = Fma(p, r * r, r) + Splat(1.0f);
  const Ints exponent = __builtin_bit_cast(Ints, AsWords(shifted) - AsWords(magic));
  const Ints half = exponent >> 1;
  const Ints rest = exponent - half;
  return p * __builtin_bit_cast(Floats, (half + 127) << 23) * __builtin_bit_cast(Floats, (rest + 127) << 23);
}
QNEXT_INLINE float ExpOne(float x) { return Exp(Splat(x))[0]; }

QNEXT_INLINE Floats Sigmoid(Floats x) { return Splat(1.0f) / (Splat(1.0f) + Exp(-x)); }
QNEXT_INLINE Floats Silu(Floats x) { return x / (Splat(1.0f) + Exp(-x)); }

// ln(1 + e^x) = max(x, 0) + log1p(e^-|x|), and log1p(y) = 2 atanh(s) with s = y / (2 + y) <= 1/3: nine terms of the
// series leave less than 2^-33 of it.
QNEXT_INLINE Floats Softplus(Floats x) {
  const Floats magnitude = x < Zero() ? -x : x;
  const Floats y = Exp(-magnitude);
  const Floats s = y / (Splat(2.0f) + y);
  const Floats square = s * s;
  Floats p = Splat(1.0f / 19);
  p = Fma(p, square, Splat(1.0f / 17));
  p = Fma(p, square, Splat(1.0f / 15));
  p = Fma(p, square, Splat(1.0f / 13));
  p = Fma(p, square, Splat(1.0f / 11));
  p = Fma(p, square, Splat(1.0f / 9));
  p = Fma(p, square, Splat(1.0f / 7));
  p = Fma(p, square, Splat(1.0f / 5));
  p = Fma(p, square, Splat(1.0f / 3));
  p = Fma(p, square, Splat(1.0f));
  return Fma(Splat(2.0f) * s, p, x > Zero() ? x : (x == x ? Zero() : x));
}

// sum of x[i]^2 in four chains of vectors, then lanes.
QNEXT_INLINE float SumOfSquares(const float* x, int64_t n) {
  Floats sum[4] = {Zero(), Zero(), Zero(), Zero()};
  int64_t i = 0;
  for (; i + 4 * kWidth <= n; i += 4 * kWidth) {
#pragma GCC unroll 4
    for (int chain = 0; chain < 4; ++chain) {
      const Floats v = Load(x + i + chain * kWidth);
      sum[chain] = Fma(v, v, sum[chain]);
    }
  }
  for (; i < n; i += kWidth) {
    const Floats v = LoadFirst(x + i, Min<int64_t>(kWidth, n - i));
    sum[0] = Fma(v, v, sum[0]);
  }
  return SumLanes((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

}  // namespace
}  // namespace qnext::QNEXT_FLOAT_OPS_ISA
