// Rows of the KV cache: quantized when appended, widened to float32 when read. Part of float_ops-inl.h. The offsets
// repeat KvLayout's (kernels/kv_page.h) because its member functions are compiled elsewhere too; the number formats are
// those of kernels/reference/kv_row.h, bit for bit.

namespace qnext::QNEXT_FLOAT_OPS_ISA {
namespace {

template <KvType kType>
constexpr int64_t kKvBytes = kType == KvType::kF32    ? 4
                             : kType == KvType::kBF16 ? 2
                                                      : 1;

// Where the rows of one head lie in a page: row `slot` at rows + slot * row_bytes, its scale at scales + slot * 4.
struct KvPlane {
  int64_t rows, scales;  // byte offsets
  int64_t row_bytes;
};

QNEXT_INLINE KvPlane KvPlaneOf(const KvLayout& layout, int64_t head, bool values) {
  const int64_t element = layout.type == KvType::kF32 ? 4 : layout.type == KvType::kBF16 ? 2 : 1;
  const int64_t row_bytes = layout.head_dim * element;
  const int64_t planes = layout.kv_heads * kKvPageTokens;  // rows of K, and of V
  const int64_t row = head * kKvPageTokens + (values ? planes : 0);
  return {row * row_bytes, 2 * planes * row_bytes + row * 4, row_bytes};
}

// float32 bits to nearest-even BF16 bits in the low half of each word; NaN stays NaN.
QNEXT_INLINE Words BF16Codes(Floats x) {
  const Words bits = AsWords(x);
  const Words rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  return x == x ? rounded : (bits >> 16) | 0x40u;
}

// E4M3: sign, 4 exponent bits (bias 7), 3 mantissa bits, no infinities, 0x7f is NaN. Nearest even, saturating at 448.
QNEXT_INLINE Words E4M3Codes(Floats x) {
  const Words bits = AsWords(x);
  const Words sign = (bits >> 24) & 0x80u;
  Floats magnitude = AsFloats(bits & 0x7fffffffu);
  magnitude = magnitude > Splat(448.0f) ? Splat(448.0f) : magnitude;
  const Words m = AsWords(magnitude);
  const Words normal = ((m + 0x7ffffu + ((m >> 20) & 1u)) >> 20) - (120u << 3);
  const Floats magic = Splat(24576.0f);  // 1.5 * 2^14: adding it rounds to a multiple of 2^-9
  const Words subnormal = AsWords(magnitude + magic) - AsWords(magic);
  Words code = magnitude < Splat(0.015625f) ? subnormal : normal;
  code = x == x ? code : SplatWord(0x7f);
  return code | sign;
}

QNEXT_INLINE Floats E4M3Values(Words code) {
  const Words sign = (code & 0x80u) << 24;
  const Words magnitude = code & 0x7fu;
  const Floats wide = AsFloats((magnitude << 20) + (120u << 23));
  // Exponent zero means m * 2^-9, where `wide` has 2^-7 + m * 2^-10.
  Floats value = magnitude < SplatWord(8) ? (wide - Splat(0.0078125f)) * Splat(2.0f) : wide;
  value = magnitude == SplatWord(0x7f) ? AsFloats(SplatWord(0x7fc00000u)) : value;
  return AsFloats(AsWords(value) | sign);
}

// kWidth stored integers as 32-bit lanes. Intrinsics, because GCC 12 takes __builtin_convertvector of loaded bytes
// apart lane by lane; the masked forms, because it finds the others' undefined source operand uninitialised.
QNEXT_INLINE Words WidenHalves(const std::byte* p) {
  Halves v;
  __builtin_memcpy(&v, p, sizeof v);
#if QNEXT_FLOAT_OPS_WIDTH == 16
  return __builtin_bit_cast(Words, _mm512_maskz_cvtepu16_epi32(0xffff, __builtin_bit_cast(__m256i, v)));
#elif QNEXT_FLOAT_OPS_WIDTH == 8
  return __builtin_bit_cast(Words, _mm256_cvtepu16_epi32(__builtin_bit_cast(__m128i, v)));
#else
  return __builtin_convertvector(v, Words);
#endif
}
QNEXT_INLINE Words WidenBytes(const std::byte* p) {
#if QNEXT_FLOAT_OPS_WIDTH == 16
  return __builtin_bit_cast(Words,
                            _mm512_maskz_cvtepu8_epi32(0xffff, _mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
#elif QNEXT_FLOAT_OPS_WIDTH == 8
  return __builtin_bit_cast(Words, _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
#else
  Bytes v;
  __builtin_memcpy(&v, p, sizeof v);
  return __builtin_convertvector(v, Words);
#endif
}
// The bytes as signed integers: their low 8 bits moved up and arithmetically down again.
QNEXT_INLINE Floats WidenSignedBytes(const std::byte* p) {
  const Ints shifted = __builtin_bit_cast(Ints, WidenBytes(p) << 24);
  return __builtin_convertvector(shifted >> 24, Floats);
}

// Elements d .. d+lanes-1 of a stored row as float32, zeros in the other lanes.
template <KvType kType>
QNEXT_INLINE Floats LoadKv(const std::byte* row, int64_t d, int64_t lanes, [[maybe_unused]] Floats scale) {
  const std::byte* p = row + d * kKvBytes<kType>;
  std::byte padded[sizeof(Floats)] = {};
  if (lanes < kWidth) {
    __builtin_memcpy(padded, p, static_cast<size_t>(lanes * kKvBytes<kType>));
    p = padded;
  }
  if constexpr (kType == KvType::kF32) {
    Floats v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
  } else if constexpr (kType == KvType::kBF16) {
    return AsFloats(WidenHalves(p) << 16);
  } else if constexpr (kType == KvType::kF8E4M3) {
    return E4M3Values(WidenBytes(p));
  } else {
    return WidenSignedBytes(p) * scale;
  }
}

// The scale of an int8 row: max |x| / 127, NaN if anything is not finite (so that reading it does not hide that).
QNEXT_INLINE float Int8Scale(const float* x, int64_t n) {
  Floats largest = Zero(), poison = Zero();
  ForVectors(n, [&](int64_t i, int64_t lanes) {
    const Floats v = LoadFirst(x + i, lanes);
    largest = Max(AsFloats(AsWords(v) & 0x7fffffffu), largest);
    poison = poison + (v - v);
  });
  return SumLanes(poison) == 0 ? MaxLanes(largest) / 127.0f : __builtin_nanf("");
}

template <KvType kType>
QNEXT_INLINE void StoreKv(const float* x, int64_t n, std::byte* row, float scale) {
  ForVectors(n, [&](int64_t i, int64_t lanes) {
    const Floats v = LoadFirst(x + i, lanes);
    std::byte* p = row + i * kKvBytes<kType>;
    const size_t bytes = static_cast<size_t>(lanes * kKvBytes<kType>);
    if constexpr (kType == KvType::kF32) {
      __builtin_memcpy(p, &v, bytes);
    } else if constexpr (kType == KvType::kBF16) {
      const Halves codes = __builtin_convertvector(BF16Codes(v), Halves);
      __builtin_memcpy(p, &codes, bytes);
    } else if constexpr (kType == KvType::kF8E4M3) {
      const Bytes codes = __builtin_convertvector(E4M3Codes(v), Bytes);
      __builtin_memcpy(p, &codes, bytes);
    } else {
      // x / scale rounded to nearest even, within +-127; all zero when the scale is zero or NaN.
      Floats ratio = scale > 0 ? v / Splat(scale) : Zero();
      ratio = ratio > Splat(127.0f) ? Splat(127.0f) : ratio;
      ratio = ratio < Splat(-127.0f) ? Splat(-127.0f) : ratio;
      const Floats magic = Splat(12582912.0f);
      const Words integers = AsWords(ratio + magic) - AsWords(magic);
      const Bytes codes = __builtin_convertvector(integers & 0xffu, Bytes);
      __builtin_memcpy(p, &codes, bytes);
    }
  });
}

template <KvType kType>
void KvAppendRow(const float* x, const KvLayout& layout, std::byte* page, int64_t head, int64_t slot, bool values) {
  const KvPlane plane = KvPlaneOf(layout, head, values);
  float scale = 0;
  if constexpr (kType == KvType::kInt8) {
    scale = Int8Scale(x, layout.head_dim);
    __builtin_memcpy(page + plane.scales + slot * 4, &scale, 4);
  }
  StoreKv<kType>(x, layout.head_dim, page + plane.rows + slot * plane.row_bytes, scale);
}

template <KvType kType>
void KvAppendAs(const KvAppendArgs& args, Range tokens) {
  const int64_t heads = args.layout.kv_heads, size = args.layout.head_dim;
  for (int64_t t = tokens.begin; t < tokens.end; ++t) {
    const int64_t position = args.start + t;
    std::byte* page = args.pages[position / kKvPageTokens];
    const int64_t slot = position % kKvPageTokens;
    for (int64_t h = 0; h < heads; ++h) {
      KvAppendRow<kType>(args.k + (t * heads + h) * size, args.layout, page, h, slot, /*values=*/false);
      KvAppendRow<kType>(args.v + (t * heads + h) * size, args.layout, page, h, slot, /*values=*/true);
    }
  }
}

void KvAppend(const KvAppendArgs& args, Range tokens) {
  switch (args.layout.type) {
    case KvType::kF32:
      return KvAppendAs<KvType::kF32>(args, tokens);
    case KvType::kBF16:
      return KvAppendAs<KvType::kBF16>(args, tokens);
    case KvType::kF8E4M3:
      return KvAppendAs<KvType::kF8E4M3>(args, tokens);
    case KvType::kInt8:
      return KvAppendAs<KvType::kInt8>(args, tokens);
  }
}

}  // namespace
}  // namespace qnext::QNEXT_FLOAT_OPS_ISA
