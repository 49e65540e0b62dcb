// Owned, aligned, uninitialised-by-default memory for weights and activations.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <span>
#include <type_traits>

#include "base/check.h"
#include "base/range.h"

namespace qnext {

// `size` elements of T, aligned to 64 bytes, zeroed. Sized once; move-only. Thread-compatible. Throws std::bad_alloc as
// a vector does.
template <typename T>
class AlignedBuffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(int64_t size) : size_(size) {
    QNEXT_CHECK(size >= 0, "a buffer cannot have a negative size");
    if (size == 0) return;
    const size_t bytes = static_cast<size_t>(RoundUp(size * static_cast<int64_t>(sizeof(T)), 64));
    data_.reset(static_cast<T*>(std::aligned_alloc(64, bytes)));
    if (data_ == nullptr) throw std::bad_alloc();
    std::byte* raw = reinterpret_cast<std::byte*>(data_.get());
    std::fill(raw, raw + bytes, std::byte{0});
  }

  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }
  int64_t size() const { return size_; }
  T& operator[](int64_t i) { return data_.get()[i]; }
  const T& operator[](int64_t i) const { return data_.get()[i]; }
  std::span<T> span() { return {data_.get(), static_cast<size_t>(size_)}; }
  std::span<const T> span() const { return {data_.get(), static_cast<size_t>(size_)}; }

 private:
  struct Free {
    void operator()(T* p) const { std::free(p); }
  };
  std::unique_ptr<T, Free> data_;
  int64_t size_ = 0;
};

}  // namespace qnext
