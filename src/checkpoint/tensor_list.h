// The one list of tensors that a Qwen3-Next checkpoint must hold: used by the check at load, by the loader, by inspect
// and by the tests. docs/checkpoint.md prints it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "checkpoint/checkpoint.h"
#include "config/model_config.h"
#include "tensor/shape.h"

namespace qnext {

enum class TensorRole : uint8_t {
  kVector,     // norms, conv1d, A_log, dt_bias: one float tensor under its own name
  kEmbedding,  // embed_tokens
  kLinear,     // a linear layer: `<module>.weight` [out, in], or the GPTQ four-tuple if it may be quantized
};

struct ExpectedTensor {
  std::string name;  // kLinear: the module ("model.layers.0.mlp.gate"); otherwise the full tensor name
  TensorRole role = TensorRole::kVector;
  Shape shape;                    // kLinear: [out, in]
  bool may_be_quantized = false;  // routers, shared_expert_gate: never; lm_head: if the configuration says so
};

// In the order of the forward pass: embedding, layers 0 .. N-1 (mixer, norms, mlp, experts by number), final norm,
// lm_head.
std::vector<ExpectedTensor> ExpectedTensors(const ModelConfig& config);

// How a linear layer is really stored.
enum class LinearFormat : uint8_t { kDense, kGptq };
LinearFormat StoredFormat(const Checkpoint& checkpoint, const std::string& module);

// Holds the checkpoint against the list: missing, misshapen, wrong dtype, extra (except mtp.*), and linears whose
// storage contradicts the quantization configuration. One error that lists all of them (the first 20 and the count of
// the rest).
Status CheckTensors(const Checkpoint& checkpoint, const ModelConfig& config);

}  // namespace qnext
