#include "text/bpe.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>
#include <string>
#include <unordered_map>

#include "base/check.h"
#include "base/clip.h"
#include "text/byte_level.h"

namespace qnext {
namespace {

// Up to here a scan for the lowest rank beats a heap.
constexpr size_t kShortPiece = 64;

size_t HashBytes(std::string_view bytes) {
  constexpr uint64_t kMultiplier = 0x9E3779B97F4A7C15;
  uint64_t hash = bytes.size();
  for (size_t at = 0; at < bytes.size(); at += sizeof(uint64_t)) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, std::min(sizeof(word), bytes.size() - at));
    hash = (std::rotl(hash, 23) ^ word) * kMultiplier;
    hash ^= hash >> 32;
  }
  return hash;
}

}  // namespace

MergeTable::MergeTable(size_t count)
    : slots_(std::bit_ceil(2 * count + 2)), shift_(64 - std::bit_width(slots_.size() - 1)) {}

size_t MergeTable::FirstSlot(uint64_t pair) const {
  return static_cast<size_t>((pair ^ pair >> 29) * 0x9E3779B97F4A7C15 >> shift_);
}

bool MergeTable::Insert(int32_t left, int32_t right, Merge merge) {
  const uint64_t pair = static_cast<uint64_t>(left) << 32 | static_cast<uint64_t>(right);
  size_t at = FirstSlot(pair);
  while (slots_[at].merge.rank != kNoRank) {
    if (slots_[at].pair == pair) return false;
    at = (at + 1) & (slots_.size() - 1);
  }
  slots_[at] = {pair, merge};
  return true;
}

MergeTable::Merge MergeTable::Find(int32_t left, int32_t right) const {
  const uint64_t pair = static_cast<uint64_t>(left) << 32 | static_cast<uint64_t>(right);
  size_t at = FirstSlot(pair);
  while (slots_[at].merge.rank != kNoRank && slots_[at].pair != pair) at = (at + 1) & (slots_.size() - 1);
  return slots_[at].merge;
}

WholePieceTable::WholePieceTable(const std::vector<std::string_view>& bytes, const std::vector<int32_t>& ids)
    : slots_(std::bit_ceil(2 * ids.size() + 2)) {
  for (const int32_t id : ids) {
    const std::string_view piece = bytes[static_cast<size_t>(id)];
    longest_ = std::max(longest_, piece.size());
    size_t at = HashBytes(piece) & (slots_.size() - 1);
    while (slots_[at].id >= 0) at = (at + 1) & (slots_.size() - 1);
    slots_[at] = {piece, id};
  }
}

std::optional<int32_t> WholePieceTable::Find(std::string_view piece) const {
  if (piece.size() > longest_) return std::nullopt;
  for (size_t at = HashBytes(piece) & (slots_.size() - 1); slots_[at].id >= 0; at = (at + 1) & (slots_.size() - 1)) {
    if (slots_[at].bytes == piece) return slots_[at].id;
  }
  return std::nullopt;
}

Result<Bpe> Bpe::Create(const BpeSpec& spec) {
  Bpe bpe(spec.merges.size());
  std::unordered_map<std::string_view, int32_t> id_of;
  std::vector<bool> spelled(spec.pieces.size());
  id_of.reserve(spec.pieces.size());

  // The arena is filled before anything points into it.
  std::vector<size_t> ends;
  for (size_t id = 0; id < spec.pieces.size(); ++id) {
    const std::string& piece = spec.pieces[id];
    id_of.emplace(piece, static_cast<int32_t>(id));
    const std::optional<std::string> bytes = BytesFromSpelling(piece);
    spelled[id] = bytes.has_value();
    bpe.arena_.insert(bpe.arena_.end(), (bytes ? *bytes : piece).begin(), (bytes ? *bytes : piece).end());
    ends.push_back(bpe.arena_.size());
  }
  for (size_t id = 0, begin = 0; id < ends.size(); begin = ends[id++]) {
    bpe.bytes_.emplace_back(bpe.arena_.data() + begin, ends[id] - begin);
  }

  for (int byte = 0; byte < 256; ++byte) {
    const auto found = id_of.find(SpellBytes(std::string(1, static_cast<char>(byte))));
    if (found == id_of.end()) return Unsupported(fmt::format("model.vocab: no token for the byte 0x{:02x}", byte));
    bpe.byte_ids_[static_cast<size_t>(byte)] = found->second;
  }
  const auto id = [&id_of](std::string_view piece) {
    const auto found = id_of.find(piece);
    return found == id_of.end() ? -1 : found->second;
  };
  std::string together;
  for (size_t rank = 0; rank < spec.merges.size(); ++rank) {
    const auto& [left, right] = spec.merges[rank];
    together.assign(left).append(right);
    const int32_t left_id = id(left);
    const int32_t right_id = id(right);
    const MergeTable::Merge merge = {static_cast<int32_t>(rank), id(together)};
    if (left_id < 0 || right_id < 0 || merge.id < 0) {
      return Corrupt(fmt::format("model.merges: {}: \"{}\" and \"{}\" or what they make is not in the vocabulary", rank,
                                 Clip(left), Clip(right)));
    }
    if (!bpe.merges_.Insert(left_id, right_id, merge)) {
      return Corrupt(fmt::format("model.merges: {}: \"{}\" and \"{}\" merge twice", rank, Clip(left), Clip(right)));
    }
  }

  // A token that its own bytes merge to is found at once from then on. (Some are not: merges of lower rank may lead
  // elsewhere.)
  std::vector<int32_t> whole;
  std::vector<int32_t> ids;
  for (size_t i = 0; i < spec.pieces.size(); ++i) {
    if (!spelled[i] || bpe.bytes_[i].empty()) continue;
    ids.clear();
    if (!spec.ignore_merges) bpe.EncodeByMerges(bpe.bytes_[i], &ids);
    if (spec.ignore_merges || ids == std::vector{static_cast<int32_t>(i)}) whole.push_back(static_cast<int32_t>(i));
  }
  bpe.whole_ = WholePieceTable(bpe.bytes_, whole);
  return bpe;
}

void Bpe::Encode(std::string_view piece, std::vector<int32_t>* ids) const {
  if (const std::optional<int32_t> id = whole_.Find(piece)) {
    ids->push_back(*id);
  } else {
    EncodeByMerges(piece, ids);
  }
}

void Bpe::EncodeByMerges(std::string_view piece, std::vector<int32_t>* ids) const {
  if (piece.size() <= kShortPiece) {
    MergeShort(piece, ids);
  } else {
    MergeLong(piece, ids);
  }
}

void Bpe::MergeShort(std::string_view piece, std::vector<int32_t>* ids) const {
  struct Part {
    int32_t id;
    MergeTable::Merge with_next;
  };
  std::array<Part, kShortPiece> parts;  // NOLINT(cppcoreguidelines-pro-type-member-init): filled up to `count`
  size_t count = piece.size();
  const auto update = [&](size_t at) {
    parts[at].with_next = at + 1 < count ? merges_.Find(parts[at].id, parts[at + 1].id) : MergeTable::Merge();
  };
  for (size_t i = 0; i < count; ++i) parts[i].id = ByteId(piece[i]);
  for (size_t i = 0; i < count; ++i) update(i);
  while (count > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < count; ++i) {
      if (parts[i].with_next.rank < parts[best].with_next.rank) best = i;
    }
    if (parts[best].with_next.rank == MergeTable::kNoRank) break;
    parts[best].id = parts[best].with_next.id;
    std::copy(parts.begin() + static_cast<ptrdiff_t>(best) + 2, parts.begin() + static_cast<ptrdiff_t>(count),
              parts.begin() + static_cast<ptrdiff_t>(best) + 1);
    --count;
    update(best);
    if (best > 0) update(best - 1);
  }
  for (size_t i = 0; i < count; ++i) ids->push_back(parts[i].id);
}

// A linked list of parts and a heap of the merges that its neighbours allow; entries that a merge made stale are
// recognised when they come up.
void Bpe::MergeLong(std::string_view piece, std::vector<int32_t>* ids) const {
  constexpr size_t kNone = SIZE_MAX;
  struct Part {
    int32_t id;  // -1 once it is part of the one before
    size_t previous;
    size_t next;
  };
  struct Candidate {
    int32_t rank;
    size_t at;
    bool operator>(const Candidate& other) const { return rank != other.rank ? rank > other.rank : at > other.at; }
  };
  std::vector<Part> parts(piece.size());
  for (size_t i = 0; i < parts.size(); ++i) {
    parts[i] = {ByteId(piece[i]), i == 0 ? kNone : i - 1, i + 1 == parts.size() ? kNone : i + 1};
  }
  const auto merge_at = [&](size_t at) {
    const Part& part = parts[at];
    if (part.id < 0 || part.next == kNone) return MergeTable::Merge();
    return merges_.Find(part.id, parts[part.next].id);
  };
  std::vector<Candidate> heap;
  for (size_t i = 0; i < parts.size(); ++i) {
    const int32_t rank = merge_at(i).rank;
    if (rank != MergeTable::kNoRank) heap.push_back({rank, i});
  }
  const std::greater<> later;
  std::make_heap(heap.begin(), heap.end(), later);
  const auto push = [&](size_t at) {
    const int32_t rank = merge_at(at).rank;
    if (rank == MergeTable::kNoRank) return;
    heap.push_back({rank, at});
    std::push_heap(heap.begin(), heap.end(), later);
  };
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), later);
    const Candidate candidate = heap.back();
    heap.pop_back();
    const MergeTable::Merge merge = merge_at(candidate.at);
    if (merge.rank != candidate.rank) continue;
    Part& part = parts[candidate.at];
    Part& gone = parts[part.next];
    part.id = merge.id;
    gone.id = -1;
    part.next = gone.next;
    if (part.next != kNone) parts[part.next].previous = candidate.at;
    push(candidate.at);
    if (part.previous != kNone) push(part.previous);
  }
  for (size_t at = 0; at != kNone; at = parts[at].next) ids->push_back(parts[at].id);
}

}  // namespace qnext
