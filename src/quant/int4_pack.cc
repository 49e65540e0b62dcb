// The repacking of GPTQ tensors into the int4 layout. It touches every weight of a checkpoint once at load, so the
// loops are written for the compiler to vectorise: sixteen rows side by side, no branches inside.
#include <algorithm>
#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

#include "base/check.h"
#include "quant/int4_matrix.h"

namespace qnext {
namespace {

constexpr int64_t kRows = kInt4TileRows;
constexpr uint64_t kLowNibbles = 0x0f0f0f0f0f0f0f0fu;
constexpr uint32_t kPaddingWord = 0x88888888u;  // eight codes that equal the zero point 8

using TileWords = std::array<uint32_t, kRows>;  // one word of each row of a tile

// GPTQ keeps input 8b+j in bits 4j; the layout keeps inputs 8b+i and 8b+4+i in the halves of byte i. Two exchanges:
// the middle bytes, then the middle nibbles of each 16 bits.
inline uint32_t Interleave(uint32_t word) {
  const uint32_t bytes = ((word >> 8) ^ word) & 0x0000ff00u;
  word ^= bytes ^ (bytes << 8);
  const uint32_t nibbles = ((word >> 4) ^ word) & 0x00f000f0u;
  return word ^ nibbles ^ (nibbles << 4);
}

using TileBytes = std::array<uint64_t, kRows / 8>;  // one byte of each row of a tile, handled eight at a time

#if defined(__x86_64__)

// The packed bytes are not read again soon: past the caches, a store costs no read of the line that it replaces, which
// is a third of the memory traffic. `out` is 64-byte aligned.
inline void StoreLine(__m128i w0, __m128i w1, __m128i w2, __m128i w3, std::byte* out) {
  auto* to = reinterpret_cast<__m128i*>(out);
  _mm_stream_si128(to, w0);
  _mm_stream_si128(to + 1, w1);
  _mm_stream_si128(to + 2, w2);
  _mm_stream_si128(to + 3, w3);
}
// Orders those stores before whatever publishes the matrix to other threads.
inline void FenceStores() { _mm_sfence(); }

inline __m128i Load(const void* from) { return _mm_loadu_si128(static_cast<const __m128i*>(from)); }

inline void StoreWords(const TileWords& words, std::byte* out) {
  StoreLine(Load(&words[0]), Load(&words[4]), Load(&words[8]), Load(&words[12]), out);
}

// Word r takes byte i from pairs[i][r].
inline void StoreJoined(const std::array<TileBytes, 4>& pairs, std::byte* out) {
  const __m128i p0 = Load(&pairs[0]), p1 = Load(&pairs[1]), p2 = Load(&pairs[2]), p3 = Load(&pairs[3]);
  const __m128i low01 = _mm_unpacklo_epi8(p0, p1), high01 = _mm_unpackhi_epi8(p0, p1);
  const __m128i low23 = _mm_unpacklo_epi8(p2, p3), high23 = _mm_unpackhi_epi8(p2, p3);
  StoreLine(_mm_unpacklo_epi16(low01, low23), _mm_unpackhi_epi16(low01, low23), _mm_unpacklo_epi16(high01, high23),
            _mm_unpackhi_epi16(high01, high23), out);
}

// pairs[i][r] is byte i of word r.
inline void Split(const TileWords& words, std::array<TileBytes, 4>& pairs) {
  const __m128i even = _mm_set1_epi16(0xff);
  const auto evens = [even](__m128i a, __m128i b) {
    return _mm_packus_epi16(_mm_and_si128(a, even), _mm_and_si128(b, even));
  };
  const auto odds = [](__m128i a, __m128i b) { return _mm_packus_epi16(_mm_srli_epi16(a, 8), _mm_srli_epi16(b, 8)); };
  const __m128i w0 = Load(&words[0]), w1 = Load(&words[4]), w2 = Load(&words[8]), w3 = Load(&words[12]);
  const __m128i even01 = evens(w0, w1), even23 = evens(w2, w3), odd01 = odds(w0, w1), odd23 = odds(w2, w3);
  const auto store = [](__m128i bytes, TileBytes& to) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to.data()), bytes);
  };
  store(evens(even01, even23), pairs[0]);
  store(evens(odd01, odd23), pairs[1]);
  store(odds(even01, even23), pairs[2]);
  store(odds(odd01, odd23), pairs[3]);
}

#else

inline void FenceStores() {}

inline void StoreWords(const TileWords& words, std::byte* out) { std::memcpy(out, words.data(), sizeof(words)); }

inline void StoreJoined(const std::array<TileBytes, 4>& pairs, std::byte* out) {
  TileWords words = {};
  for (size_t r = 0; r < words.size(); ++r) {
    for (size_t i = 0; i < 4; ++i)
      words[r] |= static_cast<uint32_t>((pairs[i][r / 8] >> (r % 8 * 8)) & 255u) << (8 * i);
  }
  StoreWords(words, out);
}

inline void Split(const TileWords& words, std::array<TileBytes, 4>& pairs) {
  for (size_t i = 0; i < pairs.size(); ++i) {
    pairs[i] = {};
    for (size_t r = 0; r < words.size(); ++r) pairs[i][r / 8] |= uint64_t{(words[r] >> (8 * i)) & 255u} << (r % 8 * 8);
  }
}

#endif

class Packer {
 public:
  Packer(const GptqTensors& tensors, const Int4Layout& layout, std::span<const int32_t> input_permutation,
         std::span<const int32_t> row_permutation, std::byte* out)
      : tensors_(tensors),
        layout_(layout),
        input_permutation_(input_permutation),
        row_permutation_(row_permutation),
        out_(out) {}

  void PackCodes() {
    const int64_t whole_tiles = row_permutation_.empty() ? layout_.out / kRows : 0;
    if (input_permutation_.empty()) {
      PackWholeTiles(whole_tiles);
      for (int64_t tile = whole_tiles; tile < layout_.tiles(); ++tile) PackGatheredTile(tile);
    } else {
      codes_.resize(static_cast<size_t>(layout_.in + 1));
      codes_.back().fill(0x0808080808080808u);  // the row that padding positions read
      for (int64_t tile = 0; tile < layout_.tiles(); ++tile) PackPermutedTile(tile);
    }
  }

  void PackScales() {
    auto* scales = reinterpret_cast<uint16_t*>(out_ + layout_.scales_offset());
    for (int64_t tile = 0; tile < layout_.tiles(); ++tile) {
      const std::array<int64_t, kRows> rows = SourceRows(tile);
      for (int64_t group = 0; group < layout_.groups(); ++group, scales += kRows) {
        const uint16_t* from = tensors_.scales.data() + group * layout_.out;
        for (int64_t r = 0; r < kRows; ++r) {
          const int64_t row = rows[static_cast<size_t>(r)];
          scales[r] = row < 0 ? uint16_t{0} : from[row];
        }
      }
    }
    std::fill(reinterpret_cast<std::byte*>(scales), out_ + layout_.zeros_offset(), std::byte{0});
  }

  void PackZeros() {
    if (!layout_.has_zeros) return;
    auto* zeros = reinterpret_cast<uint8_t*>(out_ + layout_.zeros_offset());
    for (int64_t tile = 0; tile < layout_.tiles(); ++tile) {
      const std::array<int64_t, kRows> rows = SourceRows(tile);
      for (int64_t group = 0; group < layout_.groups(); ++group) {
        for (const int64_t row : rows) *zeros++ = static_cast<uint8_t>(row < 0 ? 8 : tensors_.Zero(row, group));
      }
    }
    std::fill(reinterpret_cast<std::byte*>(zeros), out_ + layout_.bytes(), std::byte{0});
  }

 private:
  int64_t words() const { return layout_.in / 8; }
  std::byte* TileCodes(int64_t tile) const { return out_ + tile * layout_.code_bytes_per_tile(); }
  const int32_t* SourceWords(int64_t word) const { return tensors_.qweight.data() + word * layout_.out; }

  // The checkpoint's rows in a tile, -1 past the end.
  std::array<int64_t, kRows> SourceRows(int64_t tile) const {
    std::array<int64_t, kRows> rows;
    for (int64_t r = 0; r < kRows; ++r) {
      const int64_t row = tile * kRows + r;
      rows[static_cast<size_t>(r)] = row >= layout_.out         ? -1
                                     : row_permutation_.empty() ? row
                                                                : row_permutation_[static_cast<size_t>(row)];
    }
    return rows;
  }

  TileWords Gather(const std::array<int64_t, kRows>& rows, int64_t word) const {
    TileWords gathered;
    const int32_t* from = SourceWords(word);
    if (row_permutation_.empty() && rows.back() >= 0) {  // sixteen neighbours
      std::memcpy(gathered.data(), from + rows.front(), sizeof(gathered));
      return gathered;
    }
    for (size_t r = 0; r < rows.size(); ++r) {
      gathered[r] = rows[r] < 0 ? kPaddingWord : static_cast<uint32_t>(from[rows[r]]);
    }
    return gathered;
  }

  void PadTile(int64_t tile) {
    std::byte* from = TileCodes(tile) + words() * int64_t{sizeof(TileWords)};
    std::fill(from, TileCodes(tile) + layout_.code_bytes_per_tile(), std::byte{0x88});
  }

  // Nothing permuted: a source row holds one word of each row of each tile, so the source is read once, in order.
  void PackWholeTiles(int64_t tiles) {
    for (int64_t word = 0; word < words(); ++word) {
      const int32_t* from = SourceWords(word);
      std::byte* to = TileCodes(0) + word * int64_t{sizeof(TileWords)};
      for (int64_t tile = 0; tile < tiles; ++tile, from += kRows, to += layout_.code_bytes_per_tile()) {
        TileWords interleaved;
        for (size_t r = 0; r < interleaved.size(); ++r) interleaved[r] = Interleave(static_cast<uint32_t>(from[r]));
        StoreWords(interleaved, to);
      }
    }
    for (int64_t tile = 0; tile < tiles; ++tile) PadTile(tile);
  }

  // Rows permuted, or a last tile that is not full; inputs in order.
  void PackGatheredTile(int64_t tile) {
    const std::array<int64_t, kRows> rows = SourceRows(tile);
    std::byte* to = TileCodes(tile);
    for (int64_t word = 0; word < words(); ++word, to += sizeof(TileWords)) {
      TileWords interleaved = Gather(rows, word);
      for (uint32_t& w : interleaved) w = Interleave(w);
      StoreWords(interleaved, to);
    }
    PadTile(tile);
  }

  // Inputs permuted: the tile's codes are spread to a byte each, [in][16], and picked up in the new order.
  void PackPermutedTile(int64_t tile) {
    const std::array<int64_t, kRows> rows = SourceRows(tile);
    for (int64_t word = 0; word < words(); ++word) {
      TileWords words_of_rows = Gather(rows, word);
      for (uint32_t& w : words_of_rows) w = Interleave(w);
      std::array<TileBytes, 4> pairs;
      Split(words_of_rows, pairs);
      TileBytes* codes = &codes_[static_cast<size_t>(word * 8)];
      for (size_t i = 0; i < 4; ++i) {
        for (size_t h = 0; h < pairs[i].size(); ++h) {
          codes[i][h] = pairs[i][h] & kLowNibbles;
          codes[i + 4][h] = (pairs[i][h] >> 4) & kLowNibbles;
        }
      }
    }
    std::byte* to = TileCodes(tile);
    for (int64_t first = 0; first < layout_.in_padded(); first += 8, to += sizeof(TileWords)) {
      std::array<TileBytes, 4> pairs;
      for (int64_t i = 0; i < 4; ++i) {
        const TileBytes& low = AtPosition(first + i);
        const TileBytes& high = AtPosition(first + 4 + i);
        TileBytes& pair = pairs[static_cast<size_t>(i)];
        for (size_t h = 0; h < pair.size(); ++h) pair[h] = low[h] | (high[h] << 4);
      }
      StoreJoined(pairs, to);
    }
  }

  const TileBytes& AtPosition(int64_t position) const {
    const int64_t input = position < layout_.in ? input_permutation_[static_cast<size_t>(position)] : layout_.in;
    return codes_[static_cast<size_t>(input)];
  }

  const GptqTensors& tensors_;
  const Int4Layout& layout_;
  std::span<const int32_t> input_permutation_;
  std::span<const int32_t> row_permutation_;
  std::byte* out_;
  std::vector<TileBytes> codes_;  // [in + 1], only with an input permutation
};

}  // namespace

void PackInt4(const GptqTensors& tensors, const Int4Layout& layout, std::span<const int32_t> input_permutation,
              std::span<const int32_t> row_permutation, std::byte* out) {
  QNEXT_CHECK(layout.in == tensors.in && layout.out == tensors.out && layout.groups() == tensors.groups,
              "the layout belongs to other tensors");
  QNEXT_CHECK(input_permutation.empty() || static_cast<int64_t>(input_permutation.size()) == layout.in,
              "an input permutation names every input");
  QNEXT_CHECK(row_permutation.empty() || static_cast<int64_t>(row_permutation.size()) == layout.out,
              "a row permutation names every row");
  QNEXT_CHECK(reinterpret_cast<uintptr_t>(out) % 64 == 0, "packed matrices are 64-byte aligned");
  Packer packer(tensors, layout, input_permutation, row_permutation, out);
  packer.PackCodes();
  packer.PackScales();
  packer.PackZeros();
  FenceStores();
}

}  // namespace qnext
