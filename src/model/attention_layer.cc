// Gated attention: the full-attention mixer.
#include <algorithm>
#include <cmath>

#include "model/layers.h"
#include "model/rope.h"

namespace qnext {
namespace {

// How many parts the positions of one query are split into, so that a long context keeps all threads busy in decode. A
// function of the context alone: the same step gives the same bits on any machine.
int64_t AttentionSplits(int64_t tokens, int64_t context) {
  constexpr int64_t kPositionsPerSplit = 512;
  if (tokens > kAttentionBlockTokens) return 1;
  return std::clamp<int64_t>(context / kPositionsPerSplit, 1, kMaxAttentionSplits);
}

}  // namespace

void FillRopeTable(const ModelConfig& config, int64_t start, int64_t tokens, float* cos, float* sin) {
  const RopeFrequencies frequencies(config);
  const int64_t half = frequencies.count();
  for (int64_t i = 0; i < half; ++i) {
    const double frequency = frequencies.At(i);
    for (int64_t t = 0; t < tokens; ++t) {
      const double angle = static_cast<double>(start + t) * frequency;
      cos[t * half + i] = static_cast<float>(std::cos(angle) * frequencies.magnitude());
      sin[t * half + i] = static_cast<float>(std::sin(angle) * frequencies.magnitude());
    }
  }
}

void RunAttention(const BlockContext& block, const AttentionWeights& weights, int64_t index) {
  const ModelConfig& c = block.config;
  const OpContext& ops = block.ops;
  Workspace& ws = block.ws;
  const int64_t tokens = block.tokens, dh = c.head_dim;
  const int64_t query_heads = c.num_attention_heads, kv_heads = c.num_key_value_heads;
  const float eps = static_cast<float>(c.rms_norm_eps);

  ws.inputs.Clear();
  ws.products.clear();
  const auto project = [&](const Linear& linear, float* y) {
    ws.products.push_back({.weight = &linear,
                           .input = ws.inputs.Get(ops, linear, ws.normed.data(), tokens, c.hidden_size),
                           .y = y,
                           .y_stride = linear.out});
  };
  project(weights.q_proj, ws.query_gate.data());
  project(weights.k_proj, ws.key.data());
  project(weights.v_proj, ws.value.data());
  RunProducts(ops, ws.products, ws.first_item);

  // q_proj's output is a pair of rows per head: the query, then the gate.
  const QkNormRopeArgs rope_q = {.x = ws.query_gate.data(),
                                 .weight = weights.q_norm,
                                 .cos = ws.rope_cos.data(),
                                 .sin = ws.rope_sin.data(),
                                 .out = ws.query.data(),
                                 .heads = query_heads,
                                 .head_dim = dh,
                                 .rotary_dims = c.rotary_dims,
                                 .token_stride = query_heads * 2 * dh,
                                 .head_stride = 2 * dh,
                                 .eps = eps};
  ParallelItems(ops, tokens * query_heads, [&](Range part) { ops.kernels.qk_norm_rope(rope_q, part); });
  QkNormRopeArgs rope_k = rope_q;
  rope_k.x = ws.key.data();
  rope_k.weight = weights.k_norm;
  rope_k.out = ws.key_roped.data();
  rope_k.heads = kv_heads;
  rope_k.token_stride = kv_heads * dh;
  rope_k.head_stride = dh;
  ParallelItems(ops, tokens * kv_heads, [&](Range part) { ops.kernels.qk_norm_rope(rope_k, part); });

  const KvLayout& layout = block.state.layout().kv;
  const KvAppendArgs append = {.k = ws.key_roped.data(),
                               .v = ws.value.data(),
                               .layout = layout,
                               .pages = block.state.pages(index),
                               .start = block.start};
  ParallelItems(ops, tokens, [&](Range part) { ops.kernels.kv_append(append, part); });

  const AttentionArgs attention = {.q = ws.query.data(),
                                   .gate = ws.query_gate.data() + dh,
                                   .layout = layout,
                                   .pages = block.state.pages(index),
                                   .out = ws.attended.data(),
                                   .partial = ws.partial.data(),
                                   .scratch = nullptr,
                                   .tokens = tokens,
                                   .start = block.start,
                                   .query_heads = query_heads,
                                   .gate_token_stride = query_heads * 2 * dh,
                                   .gate_head_stride = 2 * dh,
                                   .splits = AttentionSplits(tokens, block.start + tokens),
                                   .scale = 1.0f / std::sqrt(static_cast<float>(dh))};
  ops.pool.ParallelFor(attention.items(), 1, [&](Range part, int thread) {
    AttentionArgs mine = attention;
    mine.scratch = ws.attention_scratch.data() + thread * attention.scratch_floats();
    ops.kernels.attention(mine, part);
  });
  if (attention.splits > 1) {
    ParallelItems(ops, tokens * query_heads, [&](Range part) { ops.kernels.attention_combine(attention, part); });
  }

  ws.inputs.Clear();
  ws.products.clear();
  ws.products.push_back({.weight = &weights.o_proj,
                         .input = ws.inputs.Get(ops, weights.o_proj, ws.attended.data(), tokens, query_heads * dh),
                         .y = ws.mixed.data(),
                         .y_stride = c.hidden_size});
  RunProducts(ops, ws.products, ws.first_item);
}

}  // namespace qnext
