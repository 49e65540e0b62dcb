// The one list of tensors that a Qwen3-Next checkpoint must hold: used by the check at load, by the loader, by inspect
// and by the tests. docs/checkpoint.md prints it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
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
// lm_head (unless tied to the embedding).
std::vector<ExpectedTensor> ExpectedTensors(const ModelConfig& config);

// How a linear layer is really stored.
enum class LinearFormat : uint8_t { kDense, kGptq };
LinearFormat StoredFormat(const Checkpoint& checkpoint, const std::string& module);

// The kind of a module or tensor, the same in every layer: numbers become "*" and "model.layers.*." is left out, as in
// "mlp.experts.*.up_proj".
std::string ModuleClass(std::string_view name);

// Whether a tensor belongs to the multi-token prediction head, which is not run and not checked.
bool IsMtpTensor(std::string_view name);

// Holds the checkpoint against the list: missing, misshapen, wrong dtype, extra (except mtp.*), and linears whose
// storage contradicts the quantization configuration. One line each, in the order of the list; empty when all is well.
std::vector<std::string> FindTensorProblems(const Checkpoint& checkpoint, const ModelConfig& config);

// The same as one error (Corrupt) that lists the first 20 and the count of the rest.
Status CheckTensors(const Checkpoint& checkpoint, const ModelConfig& config);

}  // namespace qnext
