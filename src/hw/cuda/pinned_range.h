// Host memory of somebody else, pinned piece by piece, so that the GPU can read it and copies need no staging.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/status.h"

struct CUstream_st;

namespace qnext::cuda {

// Unpins when it goes; the memory must live as long. Move-only.
class PinnedRange {
 public:
  PinnedRange() = default;
  ~PinnedRange();
  PinnedRange(PinnedRange&& other) noexcept { *this = std::move(other); }
  PinnedRange& operator=(PinnedRange&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    std::swap(pinned_, other.pinned_);
    return *this;
  }

  // `data` on a page. Where the system refuses (a limit of locked memory), nothing is pinned and complete() is false:
  // not an error, for copies work anyway. The pages must have been written before, or they are written now.
  static Result<PinnedRange> Pin(std::byte* data, int64_t bytes);

  // What Pin gives where the system refuses.
  static PinnedRange Refused(std::byte* data, int64_t bytes);

  // Into GPU memory, in order with the stream. Of memory that is not pinned the driver makes a copy first, in this
  // call.
  Status CopyToGpu(std::byte* to, const std::byte* from, int64_t bytes, CUstream_st* stream) const;

  bool complete() const { return pinned_ == bytes_ && bytes_ > 0; }
  int64_t pinned_bytes() const { return pinned_; }

 private:
  std::byte* data_ = nullptr;
  int64_t bytes_ = 0, pinned_ = 0;
};

}  // namespace qnext::cuda
