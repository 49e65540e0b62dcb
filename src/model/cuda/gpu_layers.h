// The layers of the forward pass on a GPU. Each step is one named launch; formulas are in docs/numerics.md.
#pragma once

#include "model/cuda/gpu_block.h"

namespace qnext::cuda {

// ws.mixed = mixer(ws.normed), and the sequences' states move on. `index` counts the layers of this kind.
Status RunAttention(const GpuBlock& block, const AttentionWeights& weights, int64_t index);
Status RunDeltaNet(const GpuBlock& block, const DeltaNetWeights& weights, int64_t index);

// What is still to be added to ws.hidden, by whichever kernel reads it next.
struct PendingSum {
  const float* addend = nullptr;       // [m, D]
  const float* shared = nullptr;       // [m, D] times sigmoid(shared_gate)
  const float* shared_gate = nullptr;  // [m]
};

// The MLP half of a layer, of ws.normed.
Result<PendingSum> RunMoe(const GpuBlock& block, const MoeWeights& weights, int64_t moe_layer);
Result<PendingSum> RunDenseMlp(const GpuBlock& block, const MlpWeights& weights);

// The forms of its input that a layer half reads.
InputForms MixerForms(const LayerWeights& layer, LayerKind kind);
InputForms MoeForms(const MoeWeights& weights, bool ordered_experts);
InputForms DenseMlpForms(const MlpWeights& weights);

}  // namespace qnext::cuda
