// The layers of the forward pass. Each step is one named call; formulas are in docs/numerics.md.
#pragma once

#include <cstdint>

#include "config/model_config.h"
#include "model/linear.h"
#include "model/sequence_state.h"
#include "model/weights.h"
#include "model/workspace.h"

namespace qnext {

// What one block of T tokens needs in every layer.
struct BlockContext {
  const ModelConfig& config;
  const OpContext& ops;
  SequenceState& state;
  Workspace& ws;
  int64_t tokens;          // T
  int64_t start;           // position of the first token
  bool chunked_delta_net;  // chunked form of the delta rule; the recurrence otherwise
};

// ws.mixed = mixer(ws.normed); appends to the layer's state. `index` counts the layers of this kind.
void RunAttention(const BlockContext& block, const AttentionWeights& weights, int64_t index);
void RunDeltaNet(const BlockContext& block, const DeltaNetWeights& weights, int64_t index);

// ws.hidden += moe(ws.normed). The router's choice ends up in ws.experts and ws.expert_weights; with `forced`,
// ws.experts is the choice.
void RunMoe(const BlockContext& block, const MoeWeights& weights, bool forced);
// ws.hidden += mlp(ws.normed).
void RunDenseMlp(const BlockContext& block, const MlpWeights& weights);

// ws.hidden += ws.mixed.
void AddMixed(const BlockContext& block);

// cos and sin of the rotary embedding for positions start .. start+T-1, YaRN and its attention factor included.
void FillRopeTable(const ModelConfig& config, int64_t start, int64_t tokens, float* cos, float* sin);

// A loop over `items` whose parts are large enough to be worth a thread's attention.
template <typename Body>
void ParallelItems(const OpContext& ops, int64_t items, const Body& body) {
  const int64_t grain = items / (4 * ops.pool.threads()) + 1;
  ops.pool.ParallelFor(items, grain, [&](Range part, int) { body(part); });
}

}  // namespace qnext
