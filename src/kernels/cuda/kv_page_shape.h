// The byte offsets of kernels/kv_page.h as numbers, for device code.
#pragma once

#include <cstdint>

#include "kernels/kv_page.h"

namespace qnext::cuda {

struct KvPageShape {
  explicit KvPageShape(const KvLayout& layout)
      : page_bytes(layout.page_bytes()),
        row_bytes(static_cast<int32_t>(layout.row_bytes())),
        head_bytes(static_cast<int32_t>(layout.k_offset(1, 0))),
        values(static_cast<int32_t>(layout.v_offset(0, 0))),
        key_scales(static_cast<int32_t>(layout.k_scale_offset(0, 0))),
        value_scales(static_cast<int32_t>(layout.v_scale_offset(0, 0))) {}

  int64_t page_bytes;
  int32_t row_bytes, head_bytes;     // of a position, and of a head's positions
  int32_t values;                    // where V begins; K begins at 0
  int32_t key_scales, value_scales;  // int8: kKvPageTokens floats a head
};

}  // namespace qnext::cuda
