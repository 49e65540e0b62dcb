// The vectors of the matrix products with AVX-512 F/BW/VL/DQ and VNNI. Rows: one value for each of the 16 output rows
// of a tile. Lanes: 16 neighbouring inputs.
#include <immintrin.h>

#include "kernels/cpu/isa_ops.h"

namespace qnext::QNEXT_ISA {
namespace {

// Activation rows computed together, at most.
constexpr int kI8MaxRows = 10;  // a prompt of 512 tokens gives an expert of 512 ten rows
constexpr int kF32MaxRows = 8;
constexpr int kDenseMaxRows = 6;
// Neighbouring int4 tiles, and output rows of a dense matrix, computed together with m activation rows: enough
// independent sums to hide the latency of a multiply-add, few enough to stay in registers.
constexpr int F32JointTiles(int m) { return m <= 2 ? 4 : 2; }
constexpr int DenseTileRows(int) { return 4; }
constexpr int64_t kI8PrefetchBytes = 4096;
constexpr int64_t kF32PrefetchBytes = 1024;

inline void Prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }

using Rows = __m512;
inline Rows ZeroRows() { return _mm512_setzero_ps(); }
inline Rows SplatRows(const float* p) { return _mm512_set1_ps(*p); }
inline Rows MulAdd(Rows a, Rows b, Rows c) { return _mm512_fmadd_ps(a, b, c); }
inline Rows MulAddInput(Rows a, Rows b, Rows c) { return MulAdd(a, b, c); }
inline void StoreRows(Rows rows, float* y, int64_t rows_left) {
  const unsigned mask = rows_left >= 16 ? 0xffffu : (1u << rows_left) - 1u;
  _mm512_mask_storeu_ps(y, static_cast<__mmask16>(mask), rows);
}
inline Rows LoadScales(const uint16_t* p, bool bf16) {
  const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  if (bf16) return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
  return _mm512_cvtph_ps(bits);
}

using Codes = __m512i;
inline Codes LoadCodes(const uint8_t* p) { return _mm512_loadu_si512(p); }
inline Codes LowCodes(Codes pairs) { return _mm512_and_si512(pairs, _mm512_set1_epi8(15)); }
inline Codes HighCodes(Codes pairs) { return LowCodes(_mm512_srli_epi32(pairs, 4)); }

// -zero in the low half of each 32-bit lane, 0 in the high half, for the 16-bit multiply below.
using Zeros = __m512i;
inline Zeros EightZeros() { return _mm512_set1_epi32(-8 & 0xffff); }
inline Zeros LoadZeros(const uint8_t* p) {
  const __m512i zero = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  return _mm512_and_si512(_mm512_sub_epi32(_mm512_setzero_si512(), zero), _mm512_set1_epi32(0xffff));
}

using Dots = __m512i;
inline Dots StartDots(Zeros zero, const int32_t* sum) { return _mm512_madd_epi16(_mm512_set1_epi32(*sum), zero); }
using Inputs = __m512i;
inline Inputs LoadInputs(const int8_t* x) {
  int32_t four;
  __builtin_memcpy(&four, x, 4);
  return _mm512_set1_epi32(four);
}
inline Dots AddDots(Dots dots, Codes codes, Inputs inputs) { return _mm512_dpbusd_epi32(dots, codes, inputs); }
inline Rows FinishDots(Dots dots, Zeros, const int32_t*) { return _mm512_cvtepi32_ps(dots); }

// int8 weights as code + 128, unsigned.
using SignedCodes = __m512i;
inline SignedCodes LoadSignedCodes(const int8_t* p) {
  return _mm512_xor_si512(_mm512_loadu_si512(p), _mm512_set1_epi8(-128));
}
inline Dots StartSignedDots(const int32_t* sum) { return _mm512_set1_epi32(*sum * -128); }
inline Dots AddSignedDots(Dots dots, SignedCodes codes, Inputs inputs) {
  return _mm512_dpbusd_epi32(dots, codes, inputs);
}
inline Rows FinishSignedDots(Dots dots) { return _mm512_cvtepi32_ps(dots); }
inline Rows LoadFloatScales(const float* p) { return _mm512_loadu_ps(p); }

inline Rows LoadFloatZeros(const uint8_t* p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
// code - zero for input kInput (0..7) of a block of pairs; zero points of 8 are in the table.
template <int kInput, bool kHasZeros>
inline Rows CodeFloats(Codes pairs, Rows zero) {
  constexpr int kShift = kInput < 4 ? 8 * kInput : 8 * (kInput - 4) + 4;
  const __m512i index = _mm512_srli_epi32(pairs, kShift);  // the permutation reads the low four bits only
  if constexpr (kHasZeros) {
    const __m512 codes = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return _mm512_sub_ps(_mm512_permutexvar_ps(index, codes), zero);
  } else {
    const __m512 codes = _mm512_setr_ps(-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7);
    return _mm512_permutexvar_ps(index, codes);
  }
}

constexpr int64_t kLanes = 16;
using Lanes = __m512;
inline Lanes ZeroLanes() { return _mm512_setzero_ps(); }
// Compilers like to load a value again for each of its uses, which saturates the load ports.
inline Lanes InRegister(Lanes v) {
  __asm__("" : "+v"(v));
  return v;
}
inline Lanes LoadLanes(const float* p) { return _mm512_loadu_ps(p); }
inline Lanes MulAddLanes(Lanes a, Lanes b, Lanes c) { return _mm512_fmadd_ps(a, b, c); }
inline __mmask16 FirstLanes(int64_t count) { return static_cast<__mmask16>((1u << count) - 1u); }
inline Lanes LoadSomeLanes(const float* p, int64_t count) { return _mm512_maskz_loadu_ps(FirstLanes(count), p); }
template <DenseType kType>
inline Lanes WidenWeights(__m256i bits) {
  if constexpr (kType == DenseType::kF16) return _mm512_cvtph_ps(bits);
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}
template <DenseType kType>
inline Lanes LoadWeights(const void* p) {
  if constexpr (kType == DenseType::kF32) return _mm512_loadu_ps(p);
  return WidenWeights<kType>(_mm256_loadu_si256(static_cast<const __m256i*>(p)));
}
template <DenseType kType>
inline Lanes LoadSomeWeights(const void* p, int64_t count) {
  if constexpr (kType == DenseType::kF32) return _mm512_maskz_loadu_ps(FirstLanes(count), p);
  return WidenWeights<kType>(_mm256_maskz_loadu_epi16(FirstLanes(count), p));
}
inline float SumLanes(Lanes v) {
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  four = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four)));
}

inline void QuantizeRun(const float* x, int8_t* codes, float* scale_out, int32_t* sum_out) {
  const __m512 a = _mm512_loadu_ps(x), b = _mm512_loadu_ps(x + 16);
  const float scale = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(a), _mm512_abs_ps(b))) / 127.0f;
  *scale_out = scale;
  if (scale == 0) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(codes), _mm256_setzero_si256());
    *sum_out = 0;
    return;
  }
  const __m512 divisor = _mm512_set1_ps(scale), most = _mm512_set1_ps(127.0f), least = _mm512_set1_ps(-127.0f);
  const auto quantize = [&](__m512 v) {
    return _mm512_cvtps_epi32(_mm512_max_ps(_mm512_min_ps(_mm512_div_ps(v, divisor), most), least));
  };
  const __m512i qa = quantize(a), qb = quantize(b);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(codes), _mm512_cvtepi32_epi8(qa));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(codes + 16), _mm512_cvtepi32_epi8(qb));
  *sum_out = _mm512_reduce_add_epi32(_mm512_add_epi32(qa, qb));
}

}  // namespace
}  // namespace qnext::QNEXT_ISA
