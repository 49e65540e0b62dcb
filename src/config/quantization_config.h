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

class JsonValue;

// How one quantized module is stored.
struct GptqParams {
  int bits = 4;
  int64_t group_size = 128;  // inputs per scale; -1: one group spans all inputs
  bool symmetric = true;
  bool desc_act = false;

  friend bool operator==(const GptqParams&, const GptqParams&) = default;
};

// A value; copies share the compiled rules. Immutable; thread-safe.
class QuantizationConfig {
 public:
  // The defaults for every module, no rules.
  QuantizationConfig();

  // Which file the object stands in: quantize_config.json is written by GPTQ tools alone, so there a missing
  // quant_method means "gptq"; in config.json the field is required.
  enum class Source { kModelConfig, kQuantizeConfig };

  // `json_text` is the JSON object itself; errors name the field. Unsupported: another quant_method, packing, or bit
  // width; InvalidArgument: a bad field or a rule that is no regular expression.
  static Result<QuantizationConfig> Parse(const std::string& json_text);
  // The same of a parsed object; errors begin with `context`.
  static Result<QuantizationConfig> FromJson(const JsonValue& object, const std::string& context, Source source);

  GptqFormat format() const { return format_; }
  const std::string& method() const { return method_; }  // "gptq" or "auto-round"
  bool lm_head() const { return lm_head_; }
  const GptqParams& defaults() const { return defaults_; }

  // What the configuration says of `module` (for example "model.layers.0.mlp.experts.3.up_proj"): its parameters, or
  // nothing when `dynamic`, modules_to_not_convert, modules_in_block_to_quantize or extra_config leave it unquantized.
  // Whether a module really is quantized is decided by the tensors of the checkpoint and checked against this.
  //
  // An error when a rule's regular expression exceeds its match limit on this name (a rule made to run for ever).
  Result<std::optional<GptqParams>> Evaluate(std::string_view module) const;

  // Evaluate for a module that CheckTensors has accepted: a rule beyond its limit was an error there, and leaves the
  // module unquantized here.
  std::optional<GptqParams> ForModule(std::string_view module) const;

  // Whether modules_in_block_to_quantize or an entry of extra_config names the module as quantized, rather than the
  // defaults merely covering it. Writers often leave out modules that the defaults cover, but not those they name.
  bool Names(std::string_view module) const;

 private:
  struct Rules;  // compiled patterns

  Status ParseMethod(const JsonValue& object, const std::string& context, Source source);
  Status ParseRules(const JsonValue& object, const std::string& context);

  GptqFormat format_ = GptqFormat::kV1;
  std::string method_;
  bool lm_head_ = false;
  GptqParams defaults_;
  std::shared_ptr<const Rules> rules_;
};

}  // namespace qnext
