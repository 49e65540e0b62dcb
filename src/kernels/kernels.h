// The ops of the forward pass on a CPU: argument structs, and the table of function pointers that implements them.
//
// Every op works on a Range of independent items (its comment says which), in one thread, without allocating. Callers
// split the items among threads. A result never depends on how items are grouped into ranges, nor on other rows of the
// same call (decode rows are batch-invariant). All activations are float32, row-major; pointers need not be aligned
// unless said so and must not overlap except where an op says that it works in place. Dimension letters:
// config/model_config.h. Formulas: docs/numerics.md, written once in plain scalar form in kernels/reference/.
#pragma once

#include <cstdint>

#include "base/range.h"
#include "kernels/kv_page.h"
#include "quant/int4_matrix.h"
#include "quant/int8_matrix.h"
#include "tensor/dtype.h"

namespace qnext {

// out[r] = x[r] / sqrt(mean(x[r]^2) + eps) * (1 + weight). Items: rows. May work in place.
struct RmsNormArgs {
  const float* x;       // [rows, dim]
  const float* weight;  // [dim], zero-centred
  float* out;           // [rows, dim]
  int64_t dim;
  float eps;
};

// The output norm of DeltaNet: out = o / sqrt(mean(o^2) + eps) * weight * silu(z) per head. Items: tokens.
struct GatedRmsNormArgs {
  const float* o;       // [T, H, S]
  const float* qkvz;    // [T, K groups of (q S | k S | v r*S | z r*S)], r = H/K: z is read in place
  const float* weight;  // [S], used as stored
  float* out;           // [T, H*S]
  int64_t key_heads;    // K
  int64_t value_heads;  // H
  int64_t head_dim;     // S
  float eps;
};

// y = x · weightᵀ for weights stored as F32, F16 or BF16. Items: blocks of kDenseBlockRows output rows.
constexpr int64_t kDenseBlockRows = 16;
struct DenseMatmulArgs {
  const float* x;      // [m, in], rows x_stride apart
  const void* weight;  // [out, in] row-major
  DType dtype;
  float* y;  // [m, out], rows y_stride apart
  int64_t m, in, out, x_stride, y_stride;

  int64_t items() const { return CeilDiv(out, kDenseBlockRows); }
};

// Rows gathered into the input order of an int4 matrix and padded with zeros to in_padded. Items: rows.
struct GatherRowsArgs {
  const float* x;              // [m, in], rows x_stride apart
  const int32_t* permutation;  // [in] or null: out[p] = x[permutation[p]]
  float* out;                  // [m, in_padded]
  int64_t m, in, in_padded, x_stride;
};

// int8 activations, one scale per 32 inputs: x[p] ~ scale[p/32] * code[p], scale = max|x| / 127, code = round to
// nearest even, in [-127, 127]; a run of zeros has scale 0. The zero codes beyond `in` pad to in_padded.
struct Int8Rows {
  int8_t* codes;  // [m, in_padded]
  float* scales;  // [m, in_padded/32]
  int32_t* sums;  // [m, in_padded/32] sums of the codes, for zero points
  int64_t in_padded;
};

// Gathers, pads and quantizes. Items: rows.
struct QuantizeRowsArgs {
  const float* x;              // [m, in], rows x_stride apart; finite
  const int32_t* permutation;  // [in] or null
  Int8Rows out;
  int64_t m, in, x_stride;
};

// y = x · weightᵀ with float32 activations. Items: tiles of 16 output rows.
struct Int4MatmulF32Args {
  Int4Matrix weight;
  const float*
      x;     // [m, in_padded] as GatherRows leaves it (or the plain rows where in == in_padded and no permutation)
  float* y;  // [m, out], rows y_stride apart
  int64_t m, x_stride, y_stride;

  int64_t items() const { return weight.layout.tiles(); }
};

// The same with int8 activations: integer dot products of 32 inputs, scaled and summed in float32 in input order.
struct Int4MatmulI8Args {
  Int4Matrix weight;
  Int8Rows x;  // m rows
  float* y;    // [m, out], rows y_stride apart
  int64_t m, y_stride;
  // What the caller will read next, to be on its way by then; null: not known. Changes no result.
  const void* next = nullptr;

  int64_t items() const { return weight.layout.tiles(); }
};

// The same for int8 weights: y = sum over the groups of 128 inputs of scale_w * (sum over the runs of 32 of scale_x *
// integer dot product). Items: tiles of 16 output rows. x.sums must be those of the codes.
struct Int8MatmulArgs {
  Int8Matrix weight;
  Int8Rows x;  // m rows, in_padded == weight's
  float* y;    // [m, out], rows y_stride apart
  int64_t m, y_stride;

  int64_t items() const { return weight.layout.tiles(); }
};

// out[t] = silu(gate[t]) * up[t]. Items: rows. May work in place on gate or up.
struct SiluMulArgs {
  const float* gate;  // [m, dim]
  const float* up;    // [m, dim]
  float* out;         // [m, dim]
  int64_t dim;
};

// Causal depthwise convolution of width 4 over the q, k, v channels of qkvz, then silu; the history (the last three
// inputs before the call) is replaced by the last three inputs of the call. Items: channels C = 2*K*S + H*S.
struct ConvSiluArgs {
  const float* qkvz;    // [T, K groups of (q S | k S | v r*S | z r*S)], rows qkvz_stride apart
  const float* weight;  // [C, 4], tap 3 is the current token
  float* history;       // [3, C] oldest first; read, then written
  float* out;           // [T, C]: all q, all k, all v
  int64_t tokens;       // T >= 1
  int64_t key_heads, value_heads, head_dim;

  int64_t channels() const { return 2 * key_heads * head_dim + value_heads * head_dim; }
  int64_t qkvz_width() const { return channels() + value_heads * head_dim; }
};

// g = -exp(A_log) * softplus(a + dt_bias), beta = sigmoid(b). Items: tokens.
struct DeltaGatesArgs {
  const float* ba;       // [T, K groups of (b r | a r)]
  const float* a_log;    // [H]
  const float* dt_bias;  // [H]
  float* g;              // [T, H], <= 0
  float* beta;           // [T, H]
  int64_t key_heads, value_heads;
};

// The gated delta rule of docs/numerics.md over T tokens; q and k are L2-normalised here and q scaled by 1/sqrt(S). The
// recurrent and the chunked form give the same result up to float32 rounding.
constexpr int64_t kDeltaColumns = 32;  // columns of M per item of the recurrent form
constexpr int64_t kDeltaChunk = 64;    // tokens per chunk of the chunked form
struct DeltaArgs {
  const float* qkv;   // [T, C]: all q, all k, all v, as ConvSilu leaves them
  const float* g;     // [T, H]
  const float* beta;  // [T, H]
  float* state;       // [H, S, S] (key, value), read and written
  float* out;         // [T, H, S]
  float* scratch;     // chunked form: scratch_floats() for each thread that runs at once; recurrent form: unused
  int64_t tokens, key_heads, value_heads, head_dim;

  int64_t channels() const { return 2 * key_heads * head_dim + value_heads * head_dim; }
  int64_t recurrent_items() const { return value_heads * CeilDiv(head_dim, kDeltaColumns); }  // (head, column block)
  int64_t chunked_items() const { return value_heads; }
  int64_t scratch_floats() const { return kDeltaChunk * (3 * kDeltaChunk + 5 * head_dim + 8); }
};

// Per-head rmsnorm (zero-centred weight), then rotary embedding of the first rotary_dims. Items: (token, head).
struct QkNormRopeArgs {
  const float* x;       // token t, head h at x + t*token_stride + h*head_stride
  const float* weight;  // [Dh]
  const float* cos;     // [T, R/2], attention_factor included
  const float* sin;     // [T, R/2]
  float* out;           // [T, heads, Dh]
  int64_t heads, head_dim, rotary_dims, token_stride, head_stride;
  float eps;
};

// Writes K and V rows of T tokens to the pages of one layer, at positions start .. start+T-1. Items: tokens.
struct KvAppendArgs {
  const float* k;  // [T, Hkv, Dh]
  const float* v;  // [T, Hkv, Dh]
  KvLayout layout;
  std::byte* const* pages;  // [ceil((start+T)/kKvPageTokens)] pages of this layer
  int64_t start;
};

// Causal attention of T query tokens at positions start .. start+T-1 over a paged cache that already holds them, times
// sigmoid(gate). Items: (block of kAttentionBlockTokens tokens, KV head, split), split fastest. With splits > 1, each
// split leaves an unnormalised partial and AttentionCombine finishes; with splits == 1 `out` is final. The splits of a
// query at position p are runs of ceil(pages(p) / splits) pages, so that they do not depend on the tokens sharing the
// call; where there are fewer pages than splits the last ones are empty and leave (zeros | -inf | 0).
constexpr int64_t kAttentionBlockTokens = 8;
constexpr int64_t kAttentionKeyTile = 32;
struct AttentionArgs {
  const float* q;     // [T, Hq, Dh] after norm and rope
  const float* gate;  // token t, head h at gate + t*gate_token_stride + h*gate_head_stride, Dh floats
  KvLayout layout;
  const std::byte* const* pages;  // pages of this layer
  float* out;                     // [T, Hq, Dh]
  float* partial;                 // [T, Hq, splits, Dh + 2] (values | maximum | sum); unused with splits == 1
  float* scratch;                 // of the vectorised forms: scratch_floats() for each thread that runs at once
  int64_t tokens, start, query_heads;
  int64_t gate_token_stride, gate_head_stride;
  int64_t splits;
  float scale;  // 1/sqrt(Dh)

  int64_t items() const { return CeilDiv(tokens, kAttentionBlockTokens) * layout.kv_heads * splits; }
  // Query rows in flight, so few that they and their sums stay in the second-level cache.
  int64_t scratch_rows() const { return layout.head_dim <= 256 ? 64 : CeilDiv(64 * 256, layout.head_dim); }
  // Of each row the query, the sums, the scores and 32 for its softmax; and K and V of one tile.
  int64_t scratch_floats() const {
    return scratch_rows() * (2 * layout.head_dim + kAttentionKeyTile + 32) + 2 * kAttentionKeyTile * layout.head_dim;
  }
};
// AttentionCombine items: (token, query head).

// softmax over all experts in float32, the top `top` by probability (ties: the lower index), in falling order;
// renormalised to sum to 1 if `normalize`. Items: tokens.
struct RouterArgs {
  const float* logits;  // [T, E]
  int32_t* experts;     // [T, top]
  float* weights;       // [T, top]
  int64_t num_experts, top;
  bool normalize;
  bool forced;  // keep `experts` as given and only compute the weights
};

// out[t] = residual[t] + sum_j weights[t, j] * rows[slots[t, j]] (j ascending) + sigmoid(shared_gate[t]) * shared[t].
// Items: tokens. out may be residual.
struct CombineExpertsArgs {
  const float* residual;     // [T, dim]
  const float* rows;         // [T*top, dim] expert outputs, grouped by expert
  const int64_t* slots;      // [T, top] row of token t's j-th expert
  const float* weights;      // [T, top]
  const float* shared;       // [T, dim] or null
  const float* shared_gate;  // [T], before the sigmoid
  float* out;                // [T, dim]
  int64_t dim, top;
};

// One implementation of every op. Immutable; thread-safe.
struct Kernels {
  const char* name;
  void (*rms_norm)(const RmsNormArgs&, Range rows);
  void (*gated_rms_norm)(const GatedRmsNormArgs&, Range tokens);
  void (*dense_matmul)(const DenseMatmulArgs&, Range blocks);
  void (*gather_rows)(const GatherRowsArgs&, Range rows);
  void (*quantize_rows)(const QuantizeRowsArgs&, Range rows);
  void (*int4_matmul_f32)(const Int4MatmulF32Args&, Range tiles);
  void (*int4_matmul_i8)(const Int4MatmulI8Args&, Range tiles);
  void (*int8_matmul)(const Int8MatmulArgs&, Range tiles);
  void (*silu_mul)(const SiluMulArgs&, Range rows);
  void (*conv_silu)(const ConvSiluArgs&, Range channels);
  void (*delta_gates)(const DeltaGatesArgs&, Range tokens);
  void (*delta_recurrent)(const DeltaArgs&, Range head_columns);
  void (*delta_chunked)(const DeltaArgs&, Range heads);
  void (*qk_norm_rope)(const QkNormRopeArgs&, Range token_heads);
  void (*kv_append)(const KvAppendArgs&, Range tokens);
  void (*attention)(const AttentionArgs&, Range items);
  void (*attention_combine)(const AttentionArgs&, Range token_heads);
  void (*router)(const RouterArgs&, Range tokens);
  void (*combine_experts)(const CombineExpertsArgs&, Range tokens);
};

// The plain scalar implementation: sums in float64, weights dequantized one by one. What everything else is compared
// with.
const Kernels& ReferenceKernels();

}  // namespace qnext
