// Gated DeltaNet: the linear-attention mixer.
#include <algorithm>

#include "model/layers.h"

namespace qnext {
namespace {

// Draft mode keeps what a replay needs: the convolution's input and output, g and beta of each token.
void LogDraft(const BlockContext& block, int64_t index) {
  const ModelConfig& c = block.config;
  Workspace& ws = block.ws;
  const int64_t channels = c.conv_channels();
  const int64_t heads = c.linear_num_value_heads, s = c.linear_head_dim;
  const int64_t ratio = heads / c.linear_num_key_heads;
  const int64_t group = (2 + 2 * ratio) * s;  // one key head's q, k, v, z
  const int64_t first = block.state.draft_tokens();
  for (int64_t t = 0; t < block.tokens; ++t) {
    float* row = block.state.draft_row(index, first + t);
    const float* qkvz = ws.qkvz.data() + t * (channels + heads * s);
    for (int64_t k = 0; k < c.linear_num_key_heads; ++k) {
      const float* from = qkvz + k * group;
      std::copy_n(from, s, row + k * s);
      std::copy_n(from + s, s, row + (c.linear_num_key_heads + k) * s);
      std::copy_n(from + 2 * s, ratio * s, row + (2 * c.linear_num_key_heads + k * ratio) * s);
    }
    std::copy_n(ws.conv.data() + t * channels, channels, row + channels);
    std::copy_n(ws.decay.data() + t * heads, heads, row + 2 * channels);
    std::copy_n(ws.beta.data() + t * heads, heads, row + 2 * channels + heads);
  }
}

}  // namespace

void RunDeltaNet(const BlockContext& block, const DeltaNetWeights& weights, int64_t index) {
  const ModelConfig& c = block.config;
  const OpContext& ops = block.ops;
  Workspace& ws = block.ws;
  const int64_t tokens = block.tokens;
  const int64_t key_heads = c.linear_num_key_heads, value_heads = c.linear_num_value_heads, s = c.linear_head_dim;

  ws.inputs.Clear();
  ws.products.clear();
  ws.products.push_back({.weight = &weights.in_proj_qkvz,
                         .input = ws.inputs.Get(ops, weights.in_proj_qkvz, ws.normed.data(), tokens, c.hidden_size),
                         .y = ws.qkvz.data(),
                         .y_stride = weights.in_proj_qkvz.out});
  ws.products.push_back({.weight = &weights.in_proj_ba,
                         .input = ws.inputs.Get(ops, weights.in_proj_ba, ws.normed.data(), tokens, c.hidden_size),
                         .y = ws.ba.data(),
                         .y_stride = weights.in_proj_ba.out});
  RunProducts(ops, ws.products, ws.first_item);

  const ConvSiluArgs conv = {.qkvz = ws.qkvz.data(),
                             .weight = weights.conv1d,
                             .history = block.state.history(index),
                             .out = ws.conv.data(),
                             .tokens = tokens,
                             .key_heads = key_heads,
                             .value_heads = value_heads,
                             .head_dim = s};
  ParallelItems(ops, conv.channels(), [&](Range channels) { ops.kernels.conv_silu(conv, channels); });

  const DeltaGatesArgs gates = {.ba = ws.ba.data(),
                                .a_log = weights.a_log,
                                .dt_bias = weights.dt_bias,
                                .g = ws.decay.data(),
                                .beta = ws.beta.data(),
                                .key_heads = key_heads,
                                .value_heads = value_heads};
  ParallelItems(ops, tokens, [&](Range part) { ops.kernels.delta_gates(gates, part); });
  if (block.state.drafting()) LogDraft(block, index);

  DeltaArgs delta = {.qkv = ws.conv.data(),
                     .g = ws.decay.data(),
                     .beta = ws.beta.data(),
                     .state = block.state.matrices(index),
                     .out = ws.delta.data(),
                     .scratch = nullptr,
                     .tokens = tokens,
                     .key_heads = key_heads,
                     .value_heads = value_heads,
                     .head_dim = s};
  if (block.chunked_delta_net) {
    ops.pool.ParallelFor(delta.chunked_items(), 1, [&](Range heads, int thread) {
      DeltaArgs mine = delta;
      mine.scratch = ws.delta_scratch.data() + thread * delta.scratch_floats();
      ops.kernels.delta_chunked(mine, heads);
    });
  } else {
    ParallelItems(ops, delta.recurrent_items(), [&](Range items) { ops.kernels.delta_recurrent(delta, items); });
  }

  const GatedRmsNormArgs norm = {.o = ws.delta.data(),
                                 .qkvz = ws.qkvz.data(),
                                 .weight = weights.norm,
                                 .out = ws.gated.data(),
                                 .key_heads = key_heads,
                                 .value_heads = value_heads,
                                 .head_dim = s,
                                 .eps = static_cast<float>(c.rms_norm_eps)};
  ParallelItems(ops, tokens, [&](Range part) { ops.kernels.gated_rms_norm(norm, part); });

  ws.inputs.Clear();
  ws.products.clear();
  ws.products.push_back({.weight = &weights.out_proj,
                         .input = ws.inputs.Get(ops, weights.out_proj, ws.gated.data(), tokens, value_heads * s),
                         .y = ws.mixed.data(),
                         .y_stride = c.hidden_size});
  RunProducts(ops, ws.products, ws.first_item);
}

}  // namespace qnext
