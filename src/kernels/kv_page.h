// The layout of one page of one layer's KV cache: kKvPageTokens positions of K and of V for every KV head.
//
//   K [kv_heads][kKvPageTokens][head_dim]  then  V, the same; elements of type `type`.
//   kInt8 only: K scales [kv_heads][kKvPageTokens] float32, then V scales (absolute maximum / 127 per position and
//   head).
//
// Rounding, saturation and what is not finite: docs/numerics.md, "KV cache rows".
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/range.h"

namespace qnext {

constexpr int64_t kKvPageTokens = 64;

enum class KvType : uint8_t { kF32, kBF16, kF8E4M3, kInt8 };

struct KvLayout {
  KvType type = KvType::kBF16;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;

  int64_t element_bytes() const { return type == KvType::kF32 ? 4 : type == KvType::kBF16 ? 2 : 1; }
  int64_t row_bytes() const { return head_dim * element_bytes(); }
  int64_t plane_bytes() const { return kv_heads * kKvPageTokens * row_bytes(); }
  int64_t page_bytes() const {
    const int64_t scales = type == KvType::kInt8 ? 2 * kv_heads * kKvPageTokens * 4 : 0;
    return RoundUp(2 * plane_bytes() + scales, 64);
  }
  int64_t k_offset(int64_t head, int64_t slot) const { return (head * kKvPageTokens + slot) * row_bytes(); }
  int64_t v_offset(int64_t head, int64_t slot) const { return plane_bytes() + k_offset(head, slot); }
  int64_t k_scale_offset(int64_t head, int64_t slot) const {
    return 2 * plane_bytes() + (head * kKvPageTokens + slot) * 4;
  }
  int64_t v_scale_offset(int64_t head, int64_t slot) const {
    return k_scale_offset(head, slot) + kv_heads * kKvPageTokens * 4;
  }
};

}  // namespace qnext
