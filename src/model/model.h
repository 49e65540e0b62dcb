// The loaded model and its forward pass on the CPU.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/tensor_source.h"
#include "config/model_config.h"
#include "kernels/kernels.h"
#include "model/forced_routing.h"
#include "model/linear.h"
#include "model/sequence_state.h"
#include "model/weights.h"

namespace qnext {

struct ModelOptions {
  Activations activations = Activations::kInt8;
  KvType kv_type = KvType::kBF16;
  DenseWeights dense_weights = DenseWeights::kStored;  // kInt8 needs int8 activations
  int64_t max_block_tokens = 512;  // tokens that run through a layer together; longer prompts are cut into such blocks
  bool chunked_delta_net = true;   // false: prefill runs the recurrence too (for tests)
  // Chooses the experts by layer and position instead of the routers (whose weights for them still count); must outlive
  // the model. Null: the routers decide. ForwardOutputs::forced_experts of a call goes before it.
  const ForcedRouting* routing = nullptr;
};

// What a Forward call gives back, all optional, float32. For tests of the layers, too.
struct ForwardOutputs {
  float* logits = nullptr;          // [logit_rows, V] of the last logit_rows tokens
  int64_t logit_rows = 0;           // 0 .. T
  float* hidden_states = nullptr;   // [num_layers + 1, T, D]: embedding, layer outputs, the last after the final norm
  int32_t* experts = nullptr;       // [moe layers, T, top], the router's choice
  float* expert_weights = nullptr;  // [moe layers, T, top]
  const int32_t* forced_experts = nullptr;  // [moe layers, T, top]: replaces the router's choice
  const float* forced_inputs = nullptr;     // [num_layers, T, D]: replaces each layer's input (per-layer checks)
};

// Weights are immutable after Load; Forward uses workspace of the model, so one thread at a time. `pool` and `kernels`
// must outlive the model.
class Model {
 public:
  // Holds the checkpoint against the tensor list first. `progress` is called now and then from the calling thread.
  static Result<std::unique_ptr<Model>> Load(const Checkpoint& checkpoint, const ModelConfig& config,
                                             const ModelOptions& options, const Kernels& kernels, ThreadPool& pool,
                                             const std::function<void(const LoadProgress&)>& progress = nullptr);
  // From any source that holds every tensor of the list in a form the configuration allows (synthetic weights).
  static Result<std::unique_ptr<Model>> LoadFrom(const TensorSource& source, const ModelConfig& config,
                                                 const ModelOptions& options, const Kernels& kernels, ThreadPool& pool,
                                                 const std::function<void(const LoadProgress&)>& progress = nullptr);
  ~Model();

  const ModelConfig& config() const;
  int64_t weight_bytes() const;    // resident, after repacking
  int64_t disputed_zeros() const;  // of its weights (model/weights.h)

  std::unique_ptr<SequenceState> NewSequence(int64_t max_tokens) const;

  // Appends `ids` (each in [0, V)) to the sequence. kResourceExhausted if they do not fit into state.max_tokens(); then
  // nothing has changed. Long inputs run in blocks of max_block_tokens; `cancelled`, if given, is asked between blocks
  // and ends the call with kCancelled.
  Status Forward(std::span<const int32_t> ids, SequenceState& state, const ForwardOutputs& outputs,
                 const std::function<bool()>& cancelled = nullptr);

  // Ends draft mode: keeps the first `accepted` tokens run since state.BeginDraft(), as if only they had been run (bit
  // for bit, the recurrence is replayed).
  void CommitDraft(SequenceState& state, int64_t accepted);

 private:
  struct Impl;
  explicit Model(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace qnext
