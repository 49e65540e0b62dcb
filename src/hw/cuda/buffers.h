// Owners of GPU memory and of pinned host memory that the GPU can read and write. Free of CUDA's headers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "base/status.h"

struct CUstream_st;

namespace qnext::cuda {

// GPU memory, 256-byte aligned, not initialised. Move-only; one thread at a time.
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  // kResourceExhausted names `what`, its bytes and what the GPU has free.
  static Result<DeviceBuffer> Allocate(int64_t bytes, std::string_view what);

  std::byte* data() const { return data_.get(); }
  int64_t bytes() const { return bytes_; }

 private:
  struct Free {
    void operator()(std::byte* data) const;
  };
  std::unique_ptr<std::byte, Free> data_;
  int64_t bytes_ = 0;
};

// Host memory, pinned, zeroed, mapped at the same address on the GPU. Move-only.
class PinnedBuffer {
 public:
  PinnedBuffer() = default;
  static Result<PinnedBuffer> Allocate(int64_t bytes, std::string_view what);

  std::byte* data() const { return data_.get(); }
  int64_t bytes() const { return bytes_; }

 private:
  struct Free {
    void operator()(std::byte* data) const;
  };
  std::unique_ptr<std::byte, Free> data_;
  int64_t bytes_ = 0;
};

// Into GPU memory, in order with the stream. `from` is not pinned, and may go as soon as this returns.
Status CopyToGpu(std::byte* to, const std::byte* from, int64_t bytes, CUstream_st* stream);

}  // namespace qnext::cuda
