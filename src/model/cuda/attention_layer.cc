// Gated attention: the full-attention mixer.
#include <cmath>

#include "kernels/cuda/attention.h"
#include "model/cuda/gpu_layers.h"

namespace qnext::cuda {

Status RunAttention(const GpuBlock& block, const AttentionWeights& weights, int64_t index) {
  const ModelConfig& c = block.config;
  const GpuWorkspace& ws = block.ws;
  const int64_t dh = c.head_dim, query_heads = c.num_attention_heads, width = query_heads * dh;
  const PagedKv kv = block.state.LayerKv(index);

  QNEXT_RETURN_IF_ERROR(RunProducts(block, StepKernel::kAttentionInputs,
                                    {.x = ws.normed, .width = c.hidden_size, .codes = ws.normed_codes},
                                    {{.weight = &weights.q_proj, .y = ws.query_gate},
                                     {.weight = &weights.k_proj, .y = ws.key},
                                     {.weight = &weights.v_proj, .y = ws.value}}));
  QNEXT_RETURN_IF_ERROR(block.Run(StepKernel::kKeysAndValues, 0, LaunchQkvPrepare,
                                  {.query_gate = ws.query_gate,
                                   .key = ws.key,
                                   .value = ws.value,
                                   .q_norm = weights.q_norm,
                                   .k_norm = weights.k_norm,
                                   .cos = ws.rope_cos,
                                   .sin = ws.rope_sin,
                                   .query = ws.query,
                                   .kv = kv,
                                   .positions = block.rows.positions,
                                   .slots = block.rows.slots,
                                   .m = block.m,
                                   .query_heads = query_heads,
                                   .rotary_dims = c.rotary_dims,
                                   .eps = block.eps()}));

  const InputForms forms = FormsFor({&weights.o_proj});
  const int64_t kv_bytes = block.m * block.context * 2 * kv.layout.kv_heads * kv.layout.row_bytes();
  QNEXT_RETURN_IF_ERROR(block.Run(StepKernel::kAttention, kv_bytes, LaunchAttention,
                                  {.query = ws.query,
                                   .query_gate = ws.query_gate,
                                   .kv = kv,
                                   .positions = block.rows.positions,
                                   .slots = block.rows.slots,
                                   .partial = ws.partial,
                                   .out = FloatsIf(forms.floats, ws.attended),
                                   .quantized = CodesIf(forms.codes, ws.attended_codes),
                                   .m = block.m,
                                   .query_heads = query_heads,
                                   .scale = 1.0f / std::sqrt(static_cast<float>(dh))}));
  return RunProducts(block, StepKernel::kAttentionOutput,
                     {.x = ws.attended, .width = width, .codes = ws.attended_codes},
                     {{.weight = &weights.o_proj, .y = ws.mixed}});
}

}  // namespace qnext::cuda
