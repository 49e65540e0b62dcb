// QuantizationConfig: what `quantization_config` (or quantize_config.json) promises about each module.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "tensor/gptq_format.h"

namespace qnext {

// How one quantized module is stored.
struct GptqParams {
  int bits = 4;
  int64_t group_size = 128;  // inputs per scale; -1: one group spans all inputs
  bool symmetric = true;
  bool desc_act = false;
};

class QuantizationConfig {
 public:
  // `json_text` is the JSON object itself; errors name the field.
  static Result<QuantizationConfig> Parse(const std::string& json_text);

  GptqFormat format() const { return format_; }
  const std::string& method() const { return method_; }  // "gptq" or "auto-round"
  bool lm_head() const { return lm_head_; }
  const GptqParams& defaults() const { return defaults_; }

  // What the configuration says of `module` (for example "model.layers.0.mlp.experts.3.up_proj"): its parameters, or
  // nothing when `dynamic`, modules_to_not_convert, modules_in_block_to_quantize or extra_config leave it unquantized.
  // Whether a module really is quantized is decided by the tensors of the checkpoint and checked against this.
  std::optional<GptqParams> ForModule(std::string_view module) const;

 private:
  struct Rules;  // compiled patterns

  GptqFormat format_ = GptqFormat::kV1;
  std::string method_;
  bool lm_head_ = false;
  GptqParams defaults_;
  std::shared_ptr<const Rules> rules_;
};

}  // namespace qnext
