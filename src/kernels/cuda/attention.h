// Gated attention on the GPU over a paged KV cache. Formulas: docs/numerics.md; page layout: kernels/kv_page.h.
#pragma once

#include "kernels/cuda/launch.h"
#include "kernels/kernels.h"
#include "kernels/kv_page.h"

namespace qnext::cuda {

// cos and sin of rows at `positions`: angles in float64, so that position 262 143 is as good as position 1.
struct RopeTableArgs {
  const double* frequencies;  // [R/2] radians per position (YaRN applied)
  const int32_t* positions;   // [m]
  float* cos;                 // [m, R/2]
  float* sin;                 // [m, R/2]
  int64_t m, half;
  float magnitude;  // YaRN's attention factor, otherwise 1
};
Status LaunchRopeTable(const RopeTableArgs& args, Stream stream);

// The pages of one layer: page p of sequence s is at pool + page_table[s * max_pages + p] * layout.page_bytes().
struct PagedKv {
  KvLayout layout;
  std::byte* pool;
  const int32_t* page_table;  // [slots, max_pages]
  int64_t max_pages;
};

// Per-head norm and rotary embedding of q and k, then k and v into the cache at each row's position.
struct QkvPrepareArgs {
  const float* query_gate;  // [m, Hq, 2*Dh]: query, then gate, per head
  const float* key;         // [m, Hkv, Dh]
  const float* value;       // [m, Hkv, Dh]
  const float* q_norm;      // [Dh]
  const float* k_norm;      // [Dh]
  const float* cos;         // [m, R/2]
  const float* sin;         // [m, R/2]
  float* query;             // [m, Hq, Dh]
  PagedKv kv;
  const int32_t* positions;  // [m]
  const int32_t* slots;      // [m] the sequence slot of each row
  int64_t m, query_heads, rotary_dims;
  float eps;
};
Status LaunchQkvPrepare(const QkvPrepareArgs& args, Stream stream);

// out = softmax(scale · q·K) V ⊙ sigmoid(gate) over positions <= the row's own; float32 and/or int8 codes for o_proj.
// Each row's positions are cut into kAttentionSplits runs of whole pages that depend on its position alone, so that one
// captured graph serves every context and a row's bits do not depend on the others.
constexpr int64_t kAttentionSplits = 64;
struct AttentionDecodeArgs {
  const float* query;       // [m, Hq, Dh]
  const float* query_gate;  // [m, Hq, 2*Dh]: the gate is read in place
  PagedKv kv;
  const int32_t* positions;  // [m]
  const int32_t* slots;      // [m]
  float* partial;            // [m, Hq, kAttentionSplits, Dh + 2] scratch
  float* out;                // [m, Hq*Dh] or null
  Int8Rows quantized;        // codes null: not wanted
  int64_t m, query_heads;
  float scale;
};
Status LaunchAttention(const AttentionDecodeArgs& args, Stream stream);

}  // namespace qnext::cuda
