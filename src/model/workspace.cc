#include "model/workspace.h"

#include <algorithm>

namespace qnext {

Workspace::Workspace(const ModelConfig& c, int64_t tokens, Activations activations, int threads,
                     bool experts_share_input, bool experts_dense) {
  const int64_t d = c.hidden_size;
  const int64_t value_width = c.linear_num_value_heads * c.linear_head_dim;
  const int64_t query_width = c.num_attention_heads * c.head_dim;
  const int64_t key_width = c.num_key_value_heads * c.head_dim;
  const int64_t pairs = tokens * c.num_experts_per_token;
  const int64_t mlp_width = std::max(c.shared_expert_intermediate_size, c.intermediate_size);
  const bool int8 = activations == Activations::kInt8;

  hidden = AlignedBuffer<float>(tokens * d);
  normed = AlignedBuffer<float>(tokens * d);
  mixed = AlignedBuffer<float>(tokens * d);
  inputs = InputCache(/*forms=*/4, tokens, std::max({d, value_width, query_width}), activations);

  qkvz = AlignedBuffer<float>(tokens * (c.conv_channels() + value_width));
  ba = AlignedBuffer<float>(tokens * 2 * c.linear_num_value_heads);
  conv = AlignedBuffer<float>(tokens * c.conv_channels());
  decay = AlignedBuffer<float>(tokens * c.linear_num_value_heads);
  beta = AlignedBuffer<float>(tokens * c.linear_num_value_heads);
  delta = AlignedBuffer<float>(tokens * value_width);
  gated = AlignedBuffer<float>(tokens * value_width);
  delta_scratch = AlignedBuffer<float>(threads * DeltaArgs{.head_dim = c.linear_head_dim}.scratch_floats());

  query_gate = AlignedBuffer<float>(tokens * 2 * query_width);
  key = AlignedBuffer<float>(tokens * key_width);
  value = AlignedBuffer<float>(tokens * key_width);
  query = AlignedBuffer<float>(tokens * query_width);
  key_roped = AlignedBuffer<float>(tokens * key_width);
  attended = AlignedBuffer<float>(tokens * query_width);
  partial =
      AlignedBuffer<float>(kAttentionBlockTokens * c.num_attention_heads * kMaxAttentionSplits * (c.head_dim + 2));
  attention_scratch =
      AlignedBuffer<float>(threads * AttentionArgs{.layout = {.head_dim = c.head_dim}}.scratch_floats());
  rope_cos = AlignedBuffer<float>(tokens * c.rotary_dims / 2);
  rope_sin = AlignedBuffer<float>(tokens * c.rotary_dims / 2);

  router_logits = AlignedBuffer<float>(tokens * c.num_experts);
  experts = AlignedBuffer<int32_t>(pairs);
  expert_weights = AlignedBuffer<float>(pairs);
  slots = AlignedBuffer<int64_t>(pairs);
  pair_tokens = AlignedBuffer<int32_t>(pairs);
  pair_experts = AlignedBuffer<int32_t>(pairs);
  expert_begin.resize(static_cast<size_t>(c.num_experts + 1));
  pair_gate_input = InputBuffer(pairs, d, !int8 || experts_dense, int8);
  if (!experts_share_input) pair_up_input = InputBuffer(pairs, d, !int8 || experts_dense, int8);
  pair_gate = AlignedBuffer<float>(pairs * c.moe_intermediate_size);
  pair_up = AlignedBuffer<float>(pairs * c.moe_intermediate_size);
  pair_down_input = InputBuffer(pairs, c.moe_intermediate_size, !int8, int8);
  pair_out = AlignedBuffer<float>(pairs * d);
  mlp_gate = AlignedBuffer<float>(tokens * mlp_width);
  mlp_up = AlignedBuffer<float>(tokens * mlp_width);
  mlp_down_input = InputBuffer(tokens, mlp_width, !int8, int8);
  shared_gate = AlignedBuffer<float>(tokens);
  products.reserve(static_cast<size_t>(2 * c.num_experts + 3));
  first_item.resize(static_cast<size_t>(2 * c.num_experts + 4));
}

}  // namespace qnext
