// ChunkedRange: GPU memory that can be given back piece by piece and taken again, at addresses that never change, so
// that captured graphs and tables of pointers stay valid. Free of CUDA's headers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "hw/cuda/gpu.h"

namespace qnext::cuda {

// Addresses for chunks one after the other, none of which has memory at first. Move-only; one thread at a time. Mapping
// and unmapping wait for nothing: whoever unmaps knows that no work in any stream uses the chunk.
class ChunkedRange {
 public:
  ChunkedRange() = default;
  ~ChunkedRange();
  ChunkedRange(ChunkedRange&& other) noexcept { *this = std::move(other); }
  ChunkedRange& operator=(ChunkedRange&& other) noexcept {
    std::swap(driver_, other.driver_);
    std::swap(device_, other.device_);
    std::swap(base_, other.base_);
    std::swap(chunks_, other.chunks_);
    std::swap(what_, other.what_);
    return *this;
  }

  // `chunk_bytes` of each chunk: whole pages (kPageBytes). kUnsupported where the GPU or its driver cannot do it.
  static Result<ChunkedRange> Reserve(const GpuInfo& gpu, std::span<const int64_t> chunk_bytes, std::string what);

  // Not initialised. kResourceExhausted names the bytes and what the GPU has free; then nothing has changed.
  Status Map(int64_t chunk);
  // The contents are lost; those of other chunks stay.
  Status Unmap(int64_t chunk);

  std::byte* data() const { return base_; }
  int64_t chunks() const { return static_cast<int64_t>(chunks_.size()); }
  std::byte* chunk_data(int64_t chunk) const { return base_ + chunks_[static_cast<size_t>(chunk)].offset; }
  int64_t chunk_bytes(int64_t chunk) const { return chunks_[static_cast<size_t>(chunk)].bytes; }
  bool mapped(int64_t chunk) const { return chunks_[static_cast<size_t>(chunk)].mapped; }
  int64_t reserved_bytes() const;
  int64_t mapped_bytes() const;

  static constexpr int64_t kPageBytes = int64_t{2} << 20;  // what every GPU's driver maps

 private:
  struct Driver;  // its entry points
  struct Chunk {
    int64_t offset = 0, bytes = 0;
    bool mapped = false;
  };
  static Result<const Driver*> FindDriver();

  const Driver* driver_ = nullptr;
  int device_ = 0;
  std::byte* base_ = nullptr;
  std::vector<Chunk> chunks_;
  std::string what_;
};

}  // namespace qnext::cuda
