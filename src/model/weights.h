// The weights of a model in the places and layouts the forward pass reads them from.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "checkpoint/tensor_source.h"
#include "config/model_config.h"
#include "model/linear.h"
#include "model/weight_memory.h"
#include "plan/weight_sizes.h"

namespace qnext {

struct LoadProgress {
  int64_t bytes_done = 0;
  int64_t bytes_total = 0;
};

// One silu-gated MLP: a routed expert, a shared expert or a dense layer.
struct MlpWeights {
  Linear gate_proj;  // [I, D]
  Linear up_proj;    // [I, D]
  Linear down_proj;  // [D, I]; its input order is folded into the rows of gate and up where those are int4
};

struct DeltaNetWeights {
  Linear in_proj_qkvz;             // [2*K*S + 2*H*S, D]
  Linear in_proj_ba;               // [2*H, D]
  Linear out_proj;                 // [D, H*S]
  const float* conv1d = nullptr;   // [C, 4]
  const float* a_log = nullptr;    // [H]
  const float* dt_bias = nullptr;  // [H]
  const float* norm = nullptr;     // [S]
};

struct AttentionWeights {
  Linear q_proj;                  // [Hq*2*Dh, D] query and gate
  Linear k_proj;                  // [Hkv*Dh, D]
  Linear v_proj;                  // [Hkv*Dh, D]
  Linear o_proj;                  // [D, Hq*Dh]
  const float* q_norm = nullptr;  // [Dh]
  const float* k_norm = nullptr;  // [Dh]
};

struct MoeWeights {
  Linear router;                    // [E, D]
  std::vector<MlpWeights> experts;  // [E]
  MlpWeights shared_expert;
  Linear shared_expert_gate;  // [1, D]
  // Some expert's up_proj wants its input in another form than its gate_proj.
  bool separate_up = false;
};

struct LayerWeights {
  const float* input_layernorm = nullptr;           // [D]
  const float* post_attention_layernorm = nullptr;  // [D]
  DeltaNetWeights linear_attn;                      // of a linear-attention layer
  AttentionWeights self_attn;                       // of a full-attention layer
  MoeWeights moe;                                   // of a MoE layer
  MlpWeights mlp;                                   // of a dense layer
};

// Immutable after loading. Pointers are into the WeightMemory that it was loaded into.
struct ModelWeights {
  Linear embed_tokens;  // [V, D] always dense: a table of rows
  std::vector<LayerWeights> layers;
  const float* norm = nullptr;  // [D]
  Linear lm_head;               // [V, D]
  int64_t disputed_zeros = 0;   // GptqTensors::DisputedZeros of all asymmetric modules
};

// Reads every tensor of ExpectedTensors into its final layout in `memory`, in parallel. The int4 matrices of an MLP are
// one piece: gate, up, down, one after the other. The checkpoint must have passed CheckTensors; what only the contents
// can show (NaN and infinities, zero points of a symmetric module, group indices) is one error here, after everything
// has been read, that names the tensors. Linears that BecomesInt8 names are packed as int8. `progress` is called from
// the calling thread.
Status LoadWeights(const TensorSource& source, const ModelConfig& config, DenseWeights dense, WeightMemory& memory,
                   ThreadPool& pool, const std::function<void(const LoadProgress&)>& progress, ModelWeights& weights);

}  // namespace qnext
