// Arena: memory handed out piece by piece, or only counted. The code that lays buffers out runs twice over an Arena:
// first without memory, which gives the bytes and the rows of a memory plan, then with exactly that much.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/range.h"

namespace qnext {

// What is booked under one name.
struct ArenaRow {
  std::string name;
  int64_t bytes = 0;
};

// Owns no memory. One thread at a time.
class Arena {
 public:
  static constexpr int64_t kAlignment = 256;  // of every piece

  // Counts: every piece is null. Layout code must not look at the pointers it gets.
  Arena() = default;
  // Hands out `memory`, which is aligned to kAlignment.
  Arena(std::byte* memory, int64_t bytes) : memory_(memory), bytes_(bytes) {}

  // Pieces taken from here on are booked under `name`, beside what was before.
  void Begin(const std::string& name) {
    row_ = 0;
    while (row_ < rows_.size() && rows_[row_].name != name) ++row_;
    if (row_ == rows_.size()) rows_.push_back({.name = name});
  }

  template <typename T>
  T* Take(int64_t count) {
    return reinterpret_cast<T*>(TakeBytes(count * static_cast<int64_t>(sizeof(T))));
  }

  std::byte* TakeBytes(int64_t bytes) {
    QNEXT_CHECK(bytes >= 0, "a piece has a size");
    QNEXT_CHECK(!rows_.empty(), "a piece belongs to a row");
    const int64_t rounded = RoundUp(bytes, kAlignment);
    const int64_t at = used_;
    used_ += rounded;
    if (shared_begin_ < 0) rows_[row_].bytes += rounded;
    if (memory_ == nullptr) return nullptr;
    QNEXT_CHECK(used_ <= bytes_, "the same layout that was counted");
    return bytes > 0 ? memory_ + at : nullptr;
  }

  // Groups of pieces of which only one is in use at any time share memory: what is taken from BeginShared on, up to
  // EndShared, in groups divided by NextShared. The row at the end gets the bytes of the largest.
  void BeginShared() {
    QNEXT_CHECK(shared_begin_ < 0, "shared groups do not nest");
    shared_begin_ = shared_end_ = used_;
  }
  void NextShared() {
    QNEXT_CHECK(shared_begin_ >= 0, "shared groups have begun");
    shared_end_ = used_ > shared_end_ ? used_ : shared_end_;
    used_ = shared_begin_;
  }
  void EndShared() {
    NextShared();
    used_ = shared_end_;
    rows_[row_].bytes += shared_end_ - shared_begin_;
    shared_begin_ = -1;
  }

  bool counting() const { return memory_ == nullptr; }
  int64_t used() const { return used_; }  // padding included
  const std::vector<ArenaRow>& rows() const { return rows_; }

 private:
  std::byte* memory_ = nullptr;
  int64_t bytes_ = 0;
  int64_t used_ = 0;
  int64_t shared_begin_ = -1, shared_end_ = 0;  // of the groups that share; -1: none
  size_t row_ = 0;
  std::vector<ArenaRow> rows_;
};

}  // namespace qnext
