#include "experts/expert_store.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "base/range.h"

namespace qnext {
namespace {

constexpr int64_t kHugePage = int64_t{2} << 20;

}  // namespace

ExpertStore::~ExpertStore() {
  if (data_ != nullptr) ::munmap(data_, static_cast<size_t>(bytes_));
}

ExpertStore& ExpertStore::operator=(ExpertStore&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  std::swap(experts_, other.experts_);
  std::swap(stride_, other.stride_);
  std::swap(huge_pages_, other.huge_pages_);
  return *this;
}

int64_t ExpertStore::BytesFor(int64_t layers, int64_t experts, int64_t stride) {
  return RoundUp(layers * experts * stride, kHugePage);
}

Result<ExpertStore> ExpertStore::Make(int64_t layers, int64_t experts, int64_t stride) {
  QNEXT_CHECK(layers > 0 && experts > 0 && stride > 0, "a store holds experts");
  ExpertStore store;
  store.bytes_ = BytesFor(layers, experts, stride);
  store.experts_ = experts;
  store.stride_ = stride;
  // One huge page more than needed, so that the store can begin on one; what is before and behind it goes back.
  const auto reserved = static_cast<size_t>(store.bytes_ + kHugePage);
  void* range = ::mmap(nullptr, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (range == MAP_FAILED) {
    return ResourceExhausted(
        fmt::format("the system has no {} of address space for the routed experts", FormatBytes(store.bytes_)));
  }
  auto* begin = static_cast<std::byte*>(range);
  auto* aligned = reinterpret_cast<std::byte*>(RoundUp(reinterpret_cast<intptr_t>(begin), intptr_t{kHugePage}));
  if (aligned != begin) ::munmap(begin, static_cast<size_t>(aligned - begin));
  const auto behind = static_cast<size_t>(begin + reserved - (aligned + store.bytes_));
  if (behind > 0) ::munmap(aligned + store.bytes_, behind);
  store.data_ = aligned;
  store.huge_pages_ = ::madvise(aligned, static_cast<size_t>(store.bytes_), MADV_HUGEPAGE) == 0;
  return store;
}

}  // namespace qnext
