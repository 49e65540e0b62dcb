#include "model/cuda/gpu_workspace.h"

#include <algorithm>

#include "base/check.h"
#include "kernels/cuda/attention.h"

namespace qnext {
namespace {

Int8Rows TakeInt8(Arena& arena, int64_t rows, int64_t in) {
  const int64_t padded = RoundUp(in, kInt4BlockInputs), runs = padded / kInt4BlockInputs;
  return {.codes = arena.Take<int8_t>(rows * padded),
          .scales = arena.Take<float>(rows * runs),
          .sums = arena.Take<int32_t>(rows * runs),
          .in_padded = padded};
}

GpuRows TakeRows(Arena& arena, int64_t rows) {
  return {.ids = arena.Take<int32_t>(rows), .positions = arena.Take<int32_t>(rows), .slots = arena.Take<int32_t>(rows)};
}

}  // namespace

GpuWorkspace GpuWorkspace::LayOut(const ModelConfig& c, const GpuWorkspaceShape& shape, Arena& vram) {
  const int64_t m = shape.rows, d = c.hidden_size, top = c.num_experts_per_token;
  QNEXT_CHECK(m >= cuda::kMaxDecodeRows, "a block holds a decode step");
  const int64_t value_width = c.linear_num_value_heads * c.linear_head_dim;
  const int64_t query_width = c.num_attention_heads * c.head_dim, key_width = c.num_key_value_heads * c.head_dim;
  const int64_t moe_layers = std::ranges::count(c.layer_is_moe, true), pairs = m * (top + 1);
  const int64_t mlp_width = std::max(c.shared_expert_intermediate_size, c.intermediate_size);

  GpuWorkspace ws;
  vram.Begin("workspace");
  ws.block_rows = TakeRows(vram, m);
  ws.decode_rows = TakeRows(vram, cuda::kMaxDecodeRows);
  ws.step = vram.Take<uint32_t>(1);
  ws.hidden = vram.Take<float>(m * d);
  ws.normed = vram.Take<float>(m * d);
  ws.normed_codes = TakeInt8(vram, m, d);
  ws.mixed = vram.Take<float>(m * d);
  for (Int8Rows& rows : ws.ordered) rows = TakeInt8(vram, m, std::max({d, value_width, query_width, mlp_width}));

  ws.rope_frequencies = vram.Take<double>(c.rotary_dims / 2);
  ws.rope_cos = vram.Take<float>(m * c.rotary_dims / 2);
  ws.rope_sin = vram.Take<float>(m * c.rotary_dims / 2);

  ws.shared_gate = vram.Take<float>(m);
  ws.forced = vram.Take<int32_t>(moe_layers * m * top);
  ws.experts = vram.Take<int32_t>(m * top);
  ws.expert_weights = vram.Take<float>(m * top);
  ws.entry_slots = vram.Take<int32_t>(pairs);
  ws.entry_weights = vram.Take<float>(pairs);
  ws.moe_out = vram.Take<float>(m * d);
  ws.mlp_out = vram.Take<float>(m * d);

  // Of the three, one is at work at any time, and what it leaves for the next is above.
  vram.BeginShared();
  ws.qkvz = vram.Take<float>(m * (c.conv_channels() + value_width));
  ws.ba = vram.Take<float>(m * 2 * c.linear_num_value_heads);
  ws.conv = vram.Take<float>(m * c.conv_channels());
  ws.delta = vram.Take<float>(m * value_width);
  ws.gated = vram.Take<float>(m * value_width);
  ws.gated_codes = TakeInt8(vram, m, value_width);

  vram.NextShared();
  ws.query_gate = vram.Take<float>(m * 2 * query_width);
  ws.key = vram.Take<float>(m * key_width);
  ws.value = vram.Take<float>(m * key_width);
  ws.query = vram.Take<float>(m * query_width);
  ws.partial = vram.Take<float>(cuda::AttentionPartialFloats(m, c.num_attention_heads, c.head_dim));
  ws.attended = vram.Take<float>(m * query_width);
  ws.attended_codes = TakeInt8(vram, m, query_width);

  vram.NextShared();
  ws.router_logits = vram.Take<float>(m * c.num_experts);
  if (shape.ordered_experts) {
    ws.entry_inputs = TakeInt8(vram, pairs, d);
    ws.entry_up_inputs = TakeInt8(vram, pairs, d);
  }
  ws.entry_hidden = TakeInt8(vram, pairs, c.moe_intermediate_size);
  ws.group_counts = vram.Take<int32_t>(c.num_experts + 2);
  ws.group_pairs = vram.Take<int32_t>(pairs);
  ws.pair_out = vram.Take<float>(pairs * d);
  ws.mlp_gate = vram.Take<float>(m * mlp_width);
  ws.mlp_up = vram.Take<float>(m * mlp_width);
  ws.mlp_hidden = vram.Take<float>(m * mlp_width);
  ws.mlp_codes = TakeInt8(vram, m, mlp_width);
  vram.EndShared();

  ws.logits = vram.Take<float>(kLogitRows * c.vocab_size);
  ws.chosen = vram.Take<int32_t>(cuda::kMaxDecodeRows);
  ws.sampling = vram.Take<cuda::SamplingRow>(shape.slots);
  ws.answer_counts = vram.Take<uint32_t>(shape.slots * shape.vocab_end);
  ws.seen = vram.Take<uint8_t>(shape.slots * shape.vocab_end);
  ws.bias = vram.Take<float>(shape.slots * shape.vocab_end);
  ws.sampling_scratch = reinterpret_cast<float*>(vram.TakeBytes(cuda::SampleArgs::ScratchBytes(cuda::kMaxDecodeRows)));
  return ws;
}

}  // namespace qnext
