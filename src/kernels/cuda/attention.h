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
// Each row's positions are cut into kAttentionSplits runs of whole tiles of kAttentionTile positions, as evenly as they
// go. The cut depends on the row's position alone, so that one captured graph serves every context and a row's bits do
// not depend on the others. Nothing is read of positions behind the row's own.
//
// 64 splits times 2 KV heads are one block for almost each of an H100's 132 processors; half as many leave processors
// idle, twice as many double what the combination reads. Runs of whole pages (64 positions) would leave a third of the
// blocks idle a page beyond 8K.
constexpr int64_t kAttentionSplits = 64;
constexpr int64_t kAttentionTile = 16;
// Rows beyond this take turns, so that the scratch of a prefill stays small.
constexpr int64_t kAttentionRowsAtOnce = 16;

inline int64_t AttentionPartialFloats(int64_t m, int64_t query_heads, int64_t head_dim) {
  return (m < kAttentionRowsAtOnce ? m : kAttentionRowsAtOnce) * query_heads * kAttentionSplits * (head_dim + 2);
}

// Head dims are multiples of 32 up to 256; the pool begins at a multiple of 16 bytes.
struct AttentionDecodeArgs {
  const float* query;       // [m, Hq, Dh]
  const float* query_gate;  // [m, Hq, 2*Dh]: the gate is read in place
  PagedKv kv;
  const int32_t* positions;  // [m]
  const int32_t* slots;      // [m]
  float* partial;            // AttentionPartialFloats() of scratch, at a multiple of 16 bytes
  float* out;                // [m, Hq*Dh] or null
  Int8Rows quantized;        // codes null: not wanted
  int64_t m, query_heads;
  float scale;
};
Status LaunchAttention(const AttentionDecodeArgs& args, Stream stream);

}  // namespace qnext::cuda
