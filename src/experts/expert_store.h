// ExpertStore: every routed expert in RAM, one block after the other in one range of addresses, on huge pages where
// the kernel grants them. What VRAM holds are copies.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/status.h"

namespace qnext {

// Move-only. Writing different experts from different threads is fine.
class ExpertStore {
 public:
  ExpertStore() = default;
  ~ExpertStore();
  ExpertStore(ExpertStore&& other) noexcept { *this = static_cast<ExpertStore&&>(other); }
  ExpertStore& operator=(ExpertStore&& other) noexcept;

  // Room for layers * experts blocks of `stride` bytes, zeroed; kResourceExhausted where the system refuses. Pages are
  // taken when they are written.
  static Result<ExpertStore> Make(int64_t layers, int64_t experts, int64_t stride);

  std::byte* data() const { return data_; }
  int64_t bytes() const { return bytes_; }  // whole huge pages
  int64_t stride() const { return stride_; }
  std::byte* LayerBase(int64_t layer) const { return data_ + layer * experts_ * stride_; }
  std::byte* Expert(int64_t layer, int64_t expert) const { return LayerBase(layer) + expert * stride_; }

  // Whether the kernel was willing to use huge pages; a reason to warn if not.
  bool huge_pages() const { return huge_pages_; }

  static int64_t BytesFor(int64_t layers, int64_t experts, int64_t stride);

 private:
  std::byte* data_ = nullptr;
  int64_t bytes_ = 0, experts_ = 0, stride_ = 0;
  bool huge_pages_ = false;
};

}  // namespace qnext
