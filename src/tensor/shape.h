// Shape: the extents of a tensor, outermost first.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

namespace qnext {

class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<int64_t> extents) : extents_(extents) {}
  explicit Shape(std::vector<int64_t> extents) : extents_(std::move(extents)) {}

  size_t rank() const { return extents_.size(); }
  int64_t operator[](size_t i) const { return extents_[i]; }
  const std::vector<int64_t>& extents() const { return extents_; }

  // The product of the extents; nothing when one is negative or the product exceeds 2^62.
  std::optional<int64_t> Elements() const;
  std::string ToString() const;  // "[2048, 512]"

  friend bool operator==(const Shape&, const Shape&) = default;

 private:
  std::vector<int64_t> extents_;
};

}  // namespace qnext
