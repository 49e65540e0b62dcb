#include "model/cuda/gpu_forward.h"

#include "base/check.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/row_ops.h"
#include "model/cuda/hybrid_experts.h"

namespace qnext::cuda {
namespace {

const float* From(const float* rows, int64_t floats) { return rows != nullptr ? rows + floats : nullptr; }

// Rows [first, first + count) of ws.hidden += pending; their norm goes to the first rows of ws.normed and its codes.
Status AddNorm(const GpuBlock& block, const PendingSum& pending, const float* weight, const InputForms& forms,
               int64_t first, int64_t count) {
  const GpuWorkspace& ws = block.ws;
  const int64_t d = block.config.hidden_size;
  return block.Run(StepKernel::kNorm, 0, LaunchAddNorm,
                   {.hidden = ws.hidden + first * d,
                    .addend = From(pending.addend, first * d),
                    .addend2 = nullptr,
                    .shared = From(pending.shared, first * d),
                    .shared_gate = From(pending.shared_gate, first),
                    .weight = weight,
                    .normed = FloatsIf(forms.floats, ws.normed),
                    .quantized = CodesIf(forms.codes, ws.normed_codes),
                    .m = count,
                    .dim = d,
                    .eps = block.eps()});
}

Status Embed(const GpuBlock& block) {
  const Linear& table = block.weights.embed_tokens;
  return block.Run(StepKernel::kEmbedding, block.m * table.in * DTypeSize(table.dtype), LaunchEmbedRows,
                   {.table = table.dense,
                    .dtype = table.dtype,
                    .ids = block.rows.ids,
                    .hidden = block.ws.hidden,
                    .m = block.m,
                    .dim = table.in});
}

Status FillRope(const GpuBlock& block) {
  const ModelConfig& c = block.config;
  if (c.rotary_dims == 0) return Status();
  return block.Run(StepKernel::kRopeTable, 0, LaunchRopeTable,
                   {.frequencies = block.ws.rope_frequencies,
                    .positions = block.rows.positions,
                    .cos = block.ws.rope_cos,
                    .sin = block.ws.rope_sin,
                    .m = block.m,
                    .half = c.rotary_dims / 2,
                    .magnitude = c.yarn ? static_cast<float>(c.yarn->attention_factor) : 1.0f});
}

}  // namespace

InputForms MixerForms(const LayerWeights& layer, LayerKind kind) {
  if (kind == LayerKind::kFullAttention) {
    return FormsFor({&layer.self_attn.q_proj, &layer.self_attn.k_proj, &layer.self_attn.v_proj});
  }
  return FormsFor({&layer.linear_attn.in_proj_qkvz, &layer.linear_attn.in_proj_ba});
}

Result<PendingSum> RunLayers(const GpuBlock& block, LayerHook* hook) {
  const ModelConfig& c = block.config;
  if (block.partial.step != nullptr && block.Admits(StepKernel::kSlotMap)) {
    QNEXT_RETURN_IF_ERROR(block.partial.step->LaunchBegin());
  }
  QNEXT_RETURN_IF_ERROR(Embed(block));
  QNEXT_RETURN_IF_ERROR(FillRope(block));

  PendingSum pending;
  int64_t linear_index = 0, full_index = 0;
  for (int64_t l = 0; l < c.num_layers; ++l) {
    const LayerWeights& layer = block.weights.layers[static_cast<size_t>(l)];
    const LayerKind kind = c.layer_kinds[static_cast<size_t>(l)];
    if (hook != nullptr) {
      // The sum first, so that the hook sees it and may change it; its norm is made again below.
      QNEXT_RETURN_IF_ERROR(AddNorm(block, pending, layer.input_layernorm, {.floats = true}, 0, block.m));
      QNEXT_RETURN_IF_ERROR(hook->BeforeLayer(l));
      pending = {};
    }
    QNEXT_RETURN_IF_ERROR(AddNorm(block, pending, layer.input_layernorm, MixerForms(layer, kind), 0, block.m));
    if (kind == LayerKind::kFullAttention) {
      QNEXT_RETURN_IF_ERROR(RunAttention(block, layer.self_attn, full_index++));
    } else {
      QNEXT_RETURN_IF_ERROR(RunDeltaNet(block, layer.linear_attn, linear_index++));
    }

    const int64_t moe_layer = block.plan.moe_layer(l);
    const InputForms forms = moe_layer < 0
                                 ? DenseMlpForms(layer.mlp)
                                 : MoeForms(layer.moe, block.plan.experts()[static_cast<size_t>(moe_layer)].ordered);
    QNEXT_RETURN_IF_ERROR(
        AddNorm(block, {.addend = block.ws.mixed}, layer.post_attention_layernorm, forms, 0, block.m));
    if (moe_layer < 0) {
      QNEXT_ASSIGN_OR_RETURN(pending, RunDenseMlp(block, layer.mlp));
    } else {
      QNEXT_ASSIGN_OR_RETURN(pending, RunMoe(block, layer.moe, moe_layer));
      if (hook != nullptr) QNEXT_RETURN_IF_ERROR(hook->AfterMoe(moe_layer));
    }
  }
  if (hook != nullptr) {
    QNEXT_RETURN_IF_ERROR(AddNorm(block, pending, block.weights.norm, {.floats = true}, 0, block.m));
    QNEXT_RETURN_IF_ERROR(hook->BeforeLayer(c.num_layers));
    pending = {};
  }
  return pending;
}

Status RunFinalNorm(const GpuBlock& block) {
  return AddNorm(block, {}, block.weights.norm, {.floats = true}, 0, block.m);
}

Status RunLogits(const GpuBlock& block, const PendingSum& pending, int64_t first, int64_t count) {
  QNEXT_CHECK(count >= 1 && count <= kLogitRows && first + count <= block.m, "logits of a few rows of the block");
  const Linear& lm_head = block.weights.lm_head;
  QNEXT_RETURN_IF_ERROR(AddNorm(block, pending, block.weights.norm, FormsFor({&lm_head}), first, count));
  GpuBlock few = block;
  few.m = few.sequences = count;
  return RunProducts(few, StepKernel::kLogits,
                     {.x = block.ws.normed, .width = block.config.hidden_size, .codes = block.ws.normed_codes},
                     {{.weight = &lm_head, .y = block.ws.logits}});
}

}  // namespace qnext::cuda
