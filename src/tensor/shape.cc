#include "tensor/shape.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace qnext {

std::optional<int64_t> Shape::Elements() const {
  int64_t product = 1;
  for (int64_t extent : extents_) {
    if (extent < 0) return std::nullopt;
    if (__builtin_mul_overflow(product, extent, &product) || product > (int64_t{1} << 62)) return std::nullopt;
  }
  return product;
}

std::string Shape::ToString() const { return fmt::format("[{}]", fmt::join(extents_, ", ")); }

}  // namespace qnext
