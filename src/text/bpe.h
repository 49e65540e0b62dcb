// Byte-pair encoding of one piece of text: merges by rank, the lowest first, the leftmost on ties.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"

namespace qnext {

// A vocabulary and its merges as tokenizer.json spells them (byte_level.h).
struct BpeSpec {
  std::vector<std::string> pieces;                               // by id, all distinct
  std::vector<std::pair<std::string, std::string>> merges = {};  // by rank
  bool ignore_merges = false;                                    // a piece that is a token as a whole is not merged
};

// Which token two neighbours become, and when.
class MergeTable {
 public:
  struct Merge {
    int32_t rank = kNoRank;
    int32_t id = -1;
  };
  static constexpr int32_t kNoRank = INT32_MAX;

  explicit MergeTable(size_t count);
  // False if the pair is there already.
  bool Insert(int32_t left, int32_t right, Merge merge);
  // rank is kNoRank if the two do not merge.
  Merge Find(int32_t left, int32_t right) const;

 private:
  struct Slot {
    uint64_t pair = 0;
    Merge merge;
  };
  size_t FirstSlot(uint64_t pair) const;

  std::vector<Slot> slots_;  // a power of two of them, at most half full
  int shift_;
};

// The tokens that a whole piece may be at once.
class WholePieceTable {
 public:
  WholePieceTable() = default;
  // `bytes` is by id, and must outlive this; `ids` are those to find.
  WholePieceTable(const std::vector<std::string_view>& bytes, const std::vector<int32_t>& ids);

  std::optional<int32_t> Find(std::string_view piece) const;

 private:
  struct Slot {
    std::string_view bytes;
    int32_t id = -1;
  };

  std::vector<Slot> slots_;  // a power of two of them, at most half full
  size_t longest_ = 0;
};

// Immutable after Create; thread-safe.
class Bpe {
 public:
  // kCorrupt if a merge names or makes a piece that is not in the vocabulary, or stands there twice; kUnsupported if
  // some byte is no token, because text with it would be lost.
  static Result<Bpe> Create(const BpeSpec& spec);
  Bpe(Bpe&&) noexcept = default;
  Bpe& operator=(Bpe&&) noexcept = default;
  Bpe(const Bpe&) = delete;  // a copy's bytes() would point into the original
  Bpe& operator=(const Bpe&) = delete;

  // Appends the tokens of `piece`, in time O(n log n) for n bytes.
  void Encode(std::string_view piece, std::vector<int32_t>* ids) const;

  // The bytes of each token, by id; a piece that is not spelled in the byte-level alphabet stands for itself.
  const std::vector<std::string_view>& bytes() const { return bytes_; }

 private:
  explicit Bpe(size_t merge_count) : merges_(merge_count) {}

  void EncodeByMerges(std::string_view piece, std::vector<int32_t>* ids) const;
  void MergeShort(std::string_view piece, std::vector<int32_t>* ids) const;
  void MergeLong(std::string_view piece, std::vector<int32_t>* ids) const;
  int32_t ByteId(char byte) const { return byte_ids_[static_cast<unsigned char>(byte)]; }

  std::vector<char> arena_;  // what bytes_ points into
  std::vector<std::string_view> bytes_;
  std::array<int32_t, 256> byte_ids_{};
  MergeTable merges_;
  WholePieceTable whole_;
};

}  // namespace qnext
