// Gated DeltaNet: the linear-attention mixer.
#include "kernels/cuda/delta.h"
#include "kernels/cuda/row_ops.h"
#include "model/cuda/gpu_layers.h"

namespace qnext::cuda {

Status RunDeltaNet(const GpuBlock& block, const DeltaNetWeights& weights, int64_t index) {
  const ModelConfig& c = block.config;
  const GpuWorkspace& ws = block.ws;
  const GpuState& state = block.state;
  const int64_t width = c.linear_num_value_heads * c.linear_head_dim;

  QNEXT_RETURN_IF_ERROR(
      RunProducts(block, StepKernel::kDeltaInputs, {.x = ws.normed, .width = c.hidden_size, .codes = ws.normed_codes},
                  {{.weight = &weights.in_proj_qkvz, .y = ws.qkvz}, {.weight = &weights.in_proj_ba, .y = ws.ba}}));
  // The matrices are read and written.
  const int64_t state_bytes = block.sequences * 2 * state.layout.matrix_floats * 4;
  QNEXT_RETURN_IF_ERROR(block.Run(StepKernel::kDeltaRule, state_bytes, LaunchDeltaStep,
                                  {.qkvz = ws.qkvz,
                                   .ba = ws.ba,
                                   .conv_weight = weights.conv1d,
                                   .a_log = weights.a_log,
                                   .dt_bias = weights.dt_bias,
                                   .conv = ws.conv,
                                   .state = state.LayerMatrices(index),
                                   .history = state.LayerHistory(index),
                                   .out = ws.delta,
                                   .slots = block.rows.slots,
                                   .positions = block.rows.positions,
                                   .state_stride = state.matrices_stride(),
                                   .history_stride = state.history_stride(),
                                   .sequences = block.sequences,
                                   .tokens = block.tokens(),
                                   .key_heads = c.linear_num_key_heads,
                                   .value_heads = c.linear_num_value_heads,
                                   .head_dim = c.linear_head_dim}));

  const InputForms forms = FormsFor({&weights.out_proj});
  QNEXT_RETURN_IF_ERROR(block.Run(StepKernel::kDeltaNorm, 0, LaunchGatedNorm,
                                  {.o = ws.delta,
                                   .qkvz = ws.qkvz,
                                   .weight = weights.norm,
                                   .out = FloatsIf(forms.floats, ws.gated),
                                   .quantized = CodesIf(forms.codes, ws.gated_codes),
                                   .m = block.m,
                                   .key_heads = c.linear_num_key_heads,
                                   .value_heads = c.linear_num_value_heads,
                                   .head_dim = c.linear_head_dim,
                                   .eps = block.eps()}));
  return RunProducts(block, StepKernel::kDeltaOutput, {.x = ws.gated, .width = width, .codes = ws.gated_codes},
                     {{.weight = &weights.out_proj, .y = ws.mixed}});
}

}  // namespace qnext::cuda
