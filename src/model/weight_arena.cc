#include "model/weight_arena.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>

#include "base/range.h"

namespace qnext {
namespace {

// Large enough for few mappings and whole huge pages, small enough to waste little on a tiny model.
constexpr int64_t kMappingBytes = int64_t{32} << 20;

}  // namespace

WeightArena::~WeightArena() {
  for (const Mapping& mapping : mappings_) ::munmap(mapping.data, static_cast<size_t>(mapping.bytes));
}

Result<std::byte*> WeightArena::Allocate(int64_t bytes) {
  const int64_t rounded = RoundUp(std::max<int64_t>(bytes, 1), 64);
  std::lock_guard lock(mutex_);
  if (rounded > left_) {
    const int64_t size = RoundUp(std::max(rounded, kMappingBytes), int64_t{2} << 20);
    void* data = ::mmap(nullptr, static_cast<size_t>(size), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) {
      return ResourceExhausted(
          fmt::format("the system has no memory for {} more bytes of weights after {}", size, allocated_));
    }
    ::madvise(data, static_cast<size_t>(size), MADV_HUGEPAGE);  // advice: plain pages work too, only slower
    mappings_.push_back({static_cast<std::byte*>(data), size});
    next_ = static_cast<std::byte*>(data);
    left_ = size;
  }
  std::byte* piece = next_;
  next_ += rounded;
  left_ -= rounded;
  allocated_ += rounded;
  return piece;
}

Result<WeightPiece> WeightArena::Begin(const WeightId& /*id*/, int64_t bytes) {
  QNEXT_ASSIGN_OR_RETURN(std::byte * data, Allocate(bytes));
  return WeightPiece{.staging = data, .place = data, .bytes = bytes};
}

Status WeightArena::Commit(const WeightPiece& /*piece*/) { return Status(); }

int64_t WeightArena::allocated_bytes() const {
  std::lock_guard lock(mutex_);
  return allocated_;
}

}  // namespace qnext
