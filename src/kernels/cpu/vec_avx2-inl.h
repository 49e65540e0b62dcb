// The vectors of the matrix products with AVX2, FMA and F16C, and with AVX-VNNI where QNEXT_ISA_HAS_VNNI is defined.
// Rows: one value for each of the 16 output rows of a tile. Lanes: 8 neighbouring inputs.
#include <immintrin.h>

#include "kernels/cpu/isa_ops.h"

namespace qnext::QNEXT_ISA {
namespace {

// Activation rows computed together, at most.
constexpr int kI8MaxRows = 4;
constexpr int kF32MaxRows = 4;
constexpr int kDenseMaxRows = 6;
// Neighbouring int4 tiles, and output rows of a dense matrix, computed together with m activation rows: enough
// independent sums to hide the latency of a multiply-add, few enough to stay in registers.
constexpr int F32JointTiles(int m) { return m <= 2 ? 2 : 1; }
constexpr int DenseTileRows(int m) { return m <= 2 ? 4 : 2; }
constexpr int64_t kI8PrefetchBytes = 4096;
constexpr int64_t kF32PrefetchBytes = 1024;

inline void Prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }

struct Rows {
  __m256 low, high;  // rows 0..7 and 8..15
};
inline Rows ZeroRows() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
inline Rows SplatRows(const float* p) {
  const __m256 v = _mm256_broadcast_ss(p);
  return {v, v};
}
inline Rows MulAdd(Rows a, Rows b, Rows c) {
  return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}
inline Rows MulAddInput(Rows a, Rows b, Rows c) { return MulAdd(a, b, c); }
inline void StoreRows(Rows rows, float* y, int64_t rows_left) {
  if (rows_left >= 16) {
    _mm256_storeu_ps(y, rows.low);
    _mm256_storeu_ps(y + 8, rows.high);
    return;
  }
  float all[16];
  _mm256_storeu_ps(all, rows.low);
  _mm256_storeu_ps(all + 8, rows.high);
  for (int64_t r = 0; r < rows_left; ++r) y[r] = all[r];
}
inline __m256 WidenBF16(__m128i bits) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}
inline Rows LoadScales(const uint16_t* p, bool bf16) {
  const __m128i low = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  const __m128i high = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 8));
  if (bf16) return {WidenBF16(low), WidenBF16(high)};
  return {_mm256_cvtph_ps(low), _mm256_cvtph_ps(high)};
}

struct Codes {
  __m256i low, high;
};
inline Codes LoadCodes(const uint8_t* p) {
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)),
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 32))};
}
inline Codes LowCodes(Codes pairs) {
  const __m256i mask = _mm256_set1_epi8(15);
  return {_mm256_and_si256(pairs.low, mask), _mm256_and_si256(pairs.high, mask)};
}
inline Codes HighCodes(Codes pairs) {
  return LowCodes({_mm256_srli_epi32(pairs.low, 4), _mm256_srli_epi32(pairs.high, 4)});
}

// -zero in the low half of each 32-bit lane, 0 in the high half, for the 16-bit multiply below.
struct Zeros {
  __m256i low, high;
};
inline Zeros EightZeros() {
  const __m256i v = _mm256_set1_epi32(-8 & 0xffff);
  return {v, v};
}
inline __m256i NegatedHalves(__m256i zero) {
  return _mm256_and_si256(_mm256_sub_epi32(_mm256_setzero_si256(), zero), _mm256_set1_epi32(0xffff));
}
inline Zeros LoadZeros(const uint8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {NegatedHalves(_mm256_cvtepu8_epi32(bytes)), NegatedHalves(_mm256_cvtepu8_epi32(_mm_srli_si128(bytes, 8)))};
}

struct Dots {
  __m256i low, high;
};
using Inputs = __m256i;
inline Inputs LoadInputs(const int8_t* x) {
  int32_t four;
  __builtin_memcpy(&four, x, 4);
  return _mm256_set1_epi32(four);
}
inline Dots ZeroTerms(Zeros zero, const int32_t* sum) {
  const __m256i s = _mm256_set1_epi32(*sum);
  return {_mm256_madd_epi16(s, zero.low), _mm256_madd_epi16(s, zero.high)};
}
#if defined(QNEXT_ISA_HAS_VNNI)
inline Dots StartDots(Zeros zero, const int32_t* sum) { return ZeroTerms(zero, sum); }
inline Dots AddDots(Dots dots, Codes codes, Inputs inputs) {
  return {_mm256_dpbusd_avx_epi32(dots.low, codes.low, inputs), _mm256_dpbusd_avx_epi32(dots.high, codes.high, inputs)};
}
inline Rows FinishDots(Dots dots, Zeros, const int32_t*) {
  return {_mm256_cvtepi32_ps(dots.low), _mm256_cvtepi32_ps(dots.high)};
}
#else
// Pairs of products are summed in 16 bits: 8 words of a run, each at most 2 * 15 * 127, stay below 2^15.
static_assert(8 * 2 * 15 * 127 < (1 << 15));
inline Dots StartDots(Zeros, const int32_t*) { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
inline Dots AddDots(Dots dots, Codes codes, Inputs inputs) {
  dots.low = _mm256_add_epi16(dots.low, _mm256_maddubs_epi16(codes.low, inputs));
  dots.high = _mm256_add_epi16(dots.high, _mm256_maddubs_epi16(codes.high, inputs));
  // GCC would put off these additions to the end of the run and keep all products until then: on the stack.
  __asm__("" : "+x"(dots.low), "+x"(dots.high));
  return dots;
}
inline Rows FinishDots(Dots dots, Zeros zero, const int32_t* sum) {
  const Dots terms = ZeroTerms(zero, sum);
  const __m256i ones = _mm256_set1_epi16(1);
  return {_mm256_cvtepi32_ps(_mm256_add_epi32(_mm256_madd_epi16(dots.low, ones), terms.low)),
          _mm256_cvtepi32_ps(_mm256_add_epi32(_mm256_madd_epi16(dots.high, ones), terms.high))};
}
#endif

#if defined(QNEXT_ISA_HAS_VNNI)
// int8 weights as code + 128, unsigned.
using SignedCodes = Codes;
inline SignedCodes LoadSignedCodes(const int8_t* p) {
  const __m256i sign = _mm256_set1_epi8(-128);
  return {_mm256_xor_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)), sign),
          _mm256_xor_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 32)), sign)};
}
inline Dots StartSignedDots(const int32_t* sum) {
  const __m256i v = _mm256_set1_epi32(*sum * -128);
  return {v, v};
}
inline Dots AddSignedDots(Dots dots, SignedCodes codes, Inputs inputs) { return AddDots(dots, codes, inputs); }
#else
// int8 weights as magnitudes, and as they are for their signs, which the activations take over. A pair of products is
// at most 2 * 127 * 127, within 16 bits.
static_assert(2 * 127 * 127 < (1 << 15));
struct SignedCodes {
  Codes magnitudes, codes;
};
inline SignedCodes LoadSignedCodes(const int8_t* p) {
  const Codes codes = {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)),
                       _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 32))};
  return {{_mm256_abs_epi8(codes.low), _mm256_abs_epi8(codes.high)}, codes};
}
inline Dots StartSignedDots(const int32_t*) { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
inline __m256i AddSignedEight(__m256i dots, __m256i magnitudes, __m256i codes, __m256i inputs) {
  const __m256i pairs = _mm256_maddubs_epi16(magnitudes, _mm256_sign_epi8(inputs, codes));
  return _mm256_add_epi32(dots, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
inline Dots AddSignedDots(Dots dots, SignedCodes codes, Inputs inputs) {
  dots.low = AddSignedEight(dots.low, codes.magnitudes.low, codes.codes.low, inputs);
  dots.high = AddSignedEight(dots.high, codes.magnitudes.high, codes.codes.high, inputs);
  // As in AddDots.
  __asm__("" : "+x"(dots.low), "+x"(dots.high));
  return dots;
}
#endif
inline Rows FinishSignedDots(Dots dots) { return {_mm256_cvtepi32_ps(dots.low), _mm256_cvtepi32_ps(dots.high)}; }
inline Rows LoadFloatScales(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }

inline Rows LoadFloatZeros(const uint8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes)),
          _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128(bytes, 8)))};
}
// code - zero for input kInput (0..7) of a block of pairs.
template <int kInput, bool kHasZeros>
inline __m256 EightCodeFloats(__m256i pairs, __m256 zero) {
  constexpr int kShift = kInput < 4 ? 8 * kInput : 8 * (kInput - 4) + 4;
  const __m256i codes = _mm256_and_si256(_mm256_srli_epi32(pairs, kShift), _mm256_set1_epi32(15));
  return _mm256_sub_ps(_mm256_cvtepi32_ps(codes), kHasZeros ? zero : _mm256_set1_ps(8));
}
template <int kInput, bool kHasZeros>
inline Rows CodeFloats(Codes pairs, Rows zero) {
  return {EightCodeFloats<kInput, kHasZeros>(pairs.low, zero.low),
          EightCodeFloats<kInput, kHasZeros>(pairs.high, zero.high)};
}

constexpr int64_t kLanes = 8;
using Lanes = __m256;
inline Lanes ZeroLanes() { return _mm256_setzero_ps(); }
// Compilers like to load a value again for each of its uses, which saturates the load ports.
inline Lanes InRegister(Lanes v) {
  __asm__("" : "+x"(v));
  return v;
}
inline Lanes LoadLanes(const float* p) { return _mm256_loadu_ps(p); }
inline Lanes MulAddLanes(Lanes a, Lanes b, Lanes c) { return _mm256_fmadd_ps(a, b, c); }
inline Lanes LoadSomeLanes(const float* p, int64_t count) {
  float some[8] = {};
  for (int64_t i = 0; i < count; ++i) some[i] = p[i];
  return _mm256_loadu_ps(some);
}
template <DenseType kType>
inline Lanes WidenWeights(__m128i bits) {
  if constexpr (kType == DenseType::kF16) return _mm256_cvtph_ps(bits);
  return WidenBF16(bits);
}
template <DenseType kType>
inline Lanes LoadWeights(const void* p) {
  if constexpr (kType == DenseType::kF32) return _mm256_loadu_ps(static_cast<const float*>(p));
  return WidenWeights<kType>(_mm_loadu_si128(static_cast<const __m128i*>(p)));
}
template <DenseType kType>
inline Lanes LoadSomeWeights(const void* p, int64_t count) {
  if constexpr (kType == DenseType::kF32) return LoadSomeLanes(static_cast<const float*>(p), count);
  uint16_t some[8] = {};
  for (int64_t i = 0; i < count; ++i) some[i] = static_cast<const uint16_t*>(p)[i];
  return WidenWeights<kType>(_mm_loadu_si128(reinterpret_cast<const __m128i*>(some)));
}
inline float SumLanes(Lanes v) {
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  four = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four)));
}

inline void QuantizeRun(const float* x, int8_t* codes, float* scale_out, int32_t* sum_out) {
  __m256 v[4];
  __m256 largest = _mm256_setzero_ps();
  for (int i = 0; i < 4; ++i) {
    v[i] = _mm256_loadu_ps(x + 8 * i);
    largest = _mm256_max_ps(largest, _mm256_andnot_ps(_mm256_set1_ps(-0.0f), v[i]));
  }
  __m128 four = _mm_max_ps(_mm256_castps256_ps128(largest), _mm256_extractf128_ps(largest, 1));
  four = _mm_max_ps(four, _mm_movehl_ps(four, four));
  const float scale = _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four))) / 127.0f;
  *scale_out = scale;
  if (scale == 0) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(codes), _mm256_setzero_si256());
    *sum_out = 0;
    return;
  }
  const __m256 divisor = _mm256_set1_ps(scale), most = _mm256_set1_ps(127.0f), least = _mm256_set1_ps(-127.0f);
  __m256i q[4];
  for (int i = 0; i < 4; ++i) {
    q[i] = _mm256_cvtps_epi32(_mm256_max_ps(_mm256_min_ps(_mm256_div_ps(v[i], divisor), most), least));
  }
  // Packing works within 128-bit halves; the last permutation puts the groups of four back in order.
  const __m256i packed = _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(codes), _mm256_permutevar8x32_epi32(packed, order));
  const __m256i sums = _mm256_add_epi32(_mm256_add_epi32(q[0], q[1]), _mm256_add_epi32(q[2], q[3]));
  __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
  sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, _MM_SHUFFLE(1, 0, 3, 2)));
  sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, _MM_SHUFFLE(2, 3, 0, 1)));
  *sum_out = _mm_cvtsi128_si32(sum);
}

}  // namespace
}  // namespace qnext::QNEXT_ISA
