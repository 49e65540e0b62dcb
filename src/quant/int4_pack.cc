// The repacking of GPTQ tensors into the int4 layout. It touches every weight of a checkpoint once at load, so the
// loops are written for the compiler to vectorise: sixteen rows side by side, no branches inside.
#include <algorithm>
#include <array>
#include <cstring>

#include "base/check.h"
#include "quant/int4_matrix.h"

namespace qnext {
namespace {

constexpr int64_t kRows = kInt4TileRows;
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

inline void StoreWords(const TileWords& words, std::byte* out) { std::memcpy(out, words.data(), sizeof(words)); }

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
      nibbles_.resize(static_cast<size_t>(layout_.in + 1));
      nibbles_.back().fill(8);  // the row that padding positions read
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

  // Nothing permuted: a source row holds one word of each tile. A band of eight rows at a time reads whole pages in
  // order and still writes 512 bytes in a row to each tile.
  void PackWholeTiles(int64_t tiles) {
    constexpr int64_t kBand = 8;
    for (int64_t band = 0; band < words(); band += kBand) {
      const int64_t end = std::min(words(), band + kBand);
      for (int64_t tile = 0; tile < tiles; ++tile) {
        std::byte* to = TileCodes(tile) + band * int64_t{sizeof(TileWords)};
        for (int64_t word = band; word < end; ++word, to += sizeof(TileWords)) {
          const int32_t* from = SourceWords(word) + tile * kRows;
          TileWords interleaved;
          for (size_t r = 0; r < interleaved.size(); ++r) interleaved[r] = Interleave(static_cast<uint32_t>(from[r]));
          StoreWords(interleaved, to);
        }
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
      const TileWords gathered = Gather(rows, word);
      for (int j = 0; j < 8; ++j) {
        Nibbles& nibbles = nibbles_[static_cast<size_t>(word * 8 + j)];
        for (size_t r = 0; r < nibbles.size(); ++r) nibbles[r] = static_cast<uint8_t>((gathered[r] >> (4 * j)) & 15u);
      }
    }
    std::byte* to = TileCodes(tile);
    for (int64_t first = 0; first < layout_.in_padded(); first += 8, to += sizeof(TileWords)) {
      TileWords packed = {};
      for (int i = 0; i < 4; ++i) {
        const Nibbles& low = AtPosition(first + i);
        const Nibbles& high = AtPosition(first + 4 + i);
        for (size_t r = 0; r < packed.size(); ++r) {
          packed[r] |= (uint32_t{low[r]} | (uint32_t{high[r]} << 4)) << (8 * i);
        }
      }
      StoreWords(packed, to);
    }
  }

  using Nibbles = std::array<uint8_t, kRows>;

  const Nibbles& AtPosition(int64_t position) const {
    const int64_t input = position < layout_.in ? input_permutation_[static_cast<size_t>(position)] : layout_.in;
    return nibbles_[static_cast<size_t>(input)];
  }

  const GptqTensors& tensors_;
  const Int4Layout& layout_;
  std::span<const int32_t> input_permutation_;
  std::span<const int32_t> row_permutation_;
  std::byte* out_;
  std::vector<Nibbles> nibbles_;  // [in + 1], only with an input permutation
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
}

}  // namespace qnext
