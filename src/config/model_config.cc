#include "config/model_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/clip.h"
#include "base/file.h"
#include "config/field_reader.h"
#include "config/json_value.h"
#include "config/rope_config.h"

namespace qnext {
namespace {

// Limits that keep every later product of sizes far below 2^63: each extent, the pairs below, and the parameter count.
constexpr int64_t kMaxExtent = int64_t{1} << 20;
constexpr int64_t kMaxHeadDim = 512;  // what the attention kernels keep in registers and on the stack
constexpr int64_t kMaxLayers = int64_t{1} << 10;
constexpr int64_t kMaxExperts = int64_t{1} << 16;
constexpr int64_t kMaxLayerExperts = int64_t{1} << 20;
constexpr int64_t kMaxPositions = int64_t{1} << 28;
constexpr double kMaxParameters = static_cast<double>(int64_t{1} << 48);

constexpr int64_t kMaxConfigBytes = int64_t{64} << 20;

Status CheckKind(const FieldReader& fields) {
  QNEXT_ASSIGN_OR_RETURN(const std::string type, fields.String("model_type"));
  if (type != "qwen3_next") {
    return fields.NotSupported("model_type", fmt::format("\"{}\"; this program runs \"qwen3_next\"", Clip(type)));
  }
  const JsonValue* architectures = fields.Find("architectures");
  if (architectures == nullptr) return Status();
  if (architectures->array() == nullptr) return fields.Invalid("architectures", "expected a list of names");
  for (const JsonValue& name : *architectures->array()) {
    if (name.string() != nullptr && *name.string() == "Qwen3NextForCausalLM") return Status();
  }
  return fields.NotSupported("architectures", "does not hold \"Qwen3NextForCausalLM\"");
}

// Fields that must have the one value the forward pass is written for.
Status CheckFixed(const FieldReader& fields) {
  QNEXT_ASSIGN_OR_RETURN(const std::string activation, fields.String("hidden_act"));
  if (activation != "silu") {
    return fields.NotSupported("hidden_act", fmt::format("\"{}\"; only \"silu\" is supported", Clip(activation)));
  }
  QNEXT_ASSIGN_OR_RETURN(const bool bias, fields.BoolOr("attention_bias", false));
  if (bias) return fields.NotSupported("attention_bias", "true; attention without biases only");
  QNEXT_ASSIGN_OR_RETURN(const bool window, fields.BoolOr("use_sliding_window", false));
  if (window) return fields.NotSupported("use_sliding_window", "true; full attention only");
  return Status();
}

Status ParseAttention(const FieldReader& fields, ModelConfig* config) {
  QNEXT_ASSIGN_OR_RETURN(config->num_attention_heads, fields.Integer("num_attention_heads", 1, kMaxExtent));
  QNEXT_ASSIGN_OR_RETURN(config->num_key_value_heads, fields.Integer("num_key_value_heads", 1, kMaxExtent));
  QNEXT_ASSIGN_OR_RETURN(config->head_dim, fields.Integer("head_dim", 1, kMaxHeadDim));
  if (config->num_attention_heads % config->num_key_value_heads != 0) {
    return fields.Invalid("num_attention_heads", fmt::format("{} is not a multiple of num_key_value_heads {}",
                                                             config->num_attention_heads, config->num_key_value_heads));
  }
  if (config->num_attention_heads * config->head_dim > kMaxExtent) {
    return fields.Invalid(
        "num_attention_heads",
        fmt::format("times head_dim is {}, above {}", config->num_attention_heads * config->head_dim, kMaxExtent));
  }
  QNEXT_ASSIGN_OR_RETURN(config->max_position_embeddings, fields.Integer("max_position_embeddings", 1, kMaxPositions));
  return ParseRope(fields, config);
}

Status ParseLinearAttention(const FieldReader& fields, ModelConfig* config) {
  QNEXT_ASSIGN_OR_RETURN(config->linear_num_key_heads, fields.Integer("linear_num_key_heads", 1, kMaxExtent));
  QNEXT_ASSIGN_OR_RETURN(config->linear_num_value_heads, fields.Integer("linear_num_value_heads", 1, kMaxExtent));
  QNEXT_ASSIGN_OR_RETURN(config->linear_head_dim, fields.Integer("linear_key_head_dim", 1, kMaxHeadDim));
  QNEXT_ASSIGN_OR_RETURN(const int64_t value_dim, fields.Integer("linear_value_head_dim", 1, kMaxHeadDim));
  QNEXT_ASSIGN_OR_RETURN(config->linear_conv_kernel, fields.Integer("linear_conv_kernel_dim", 1, kMaxHeadDim));
  if (value_dim != config->linear_head_dim) {
    return fields.NotSupported("linear_value_head_dim", fmt::format("{} differs from linear_key_head_dim {}", value_dim,
                                                                    config->linear_head_dim));
  }
  if (config->linear_num_value_heads % config->linear_num_key_heads != 0) {
    return fields.Invalid("linear_num_value_heads",
                          fmt::format("{} is not a multiple of linear_num_key_heads {}", config->linear_num_value_heads,
                                      config->linear_num_key_heads));
  }
  if (config->linear_num_value_heads * config->linear_head_dim > kMaxExtent) {
    return fields.Invalid("linear_num_value_heads",
                          fmt::format("times linear_value_head_dim is {}, above {}",
                                      config->linear_num_value_heads * config->linear_head_dim, kMaxExtent));
  }
  if (config->linear_conv_kernel != 4) {
    return fields.NotSupported("linear_conv_kernel_dim",
                               fmt::format("{}; only 4 is supported", config->linear_conv_kernel));
  }
  return Status();
}

Status ParseExperts(const FieldReader& fields, ModelConfig* config) {
  QNEXT_ASSIGN_OR_RETURN(config->num_experts, fields.Integer("num_experts", 0, kMaxExperts));
  if (config->num_experts == 0) return Status();
  QNEXT_ASSIGN_OR_RETURN(config->num_experts_per_token, fields.Integer("num_experts_per_tok", 1, kMaxExperts));
  if (config->num_experts_per_token > config->num_experts) {
    return fields.Invalid("num_experts_per_tok", fmt::format("{} is above num_experts {}",
                                                             config->num_experts_per_token, config->num_experts));
  }
  if (config->num_experts * config->num_layers > kMaxLayerExperts) {
    return fields.Invalid("num_experts", fmt::format("times num_hidden_layers is {}, above {}",
                                                     config->num_experts * config->num_layers, kMaxLayerExperts));
  }
  QNEXT_ASSIGN_OR_RETURN(config->moe_intermediate_size, fields.Integer("moe_intermediate_size", 1, kMaxExtent));
  QNEXT_ASSIGN_OR_RETURN(config->shared_expert_intermediate_size,
                         fields.Integer("shared_expert_intermediate_size", 0, kMaxExtent));
  QNEXT_ASSIGN_OR_RETURN(config->norm_topk_prob, fields.Bool("norm_topk_prob"));
  return Status();
}

Status ParseLayerKinds(const FieldReader& fields, ModelConfig* config) {
  const JsonValue* types = fields.Find("layer_types");
  if (types == nullptr) {
    QNEXT_ASSIGN_OR_RETURN(const int64_t interval, fields.Integer("full_attention_interval", 1, kMaxLayers));
    for (int64_t layer = 0; layer < config->num_layers; ++layer) {
      const bool full = (layer + 1) % interval == 0;
      config->layer_kinds.push_back(full ? LayerKind::kFullAttention : LayerKind::kLinearAttention);
    }
    return Status();
  }
  if (types->array() == nullptr || static_cast<int64_t>(types->array()->size()) != config->num_layers) {
    return fields.Invalid("layer_types", fmt::format("expected a list of {} names", config->num_layers));
  }
  for (const JsonValue& type : *types->array()) {
    const std::string* name = type.string();
    if (name != nullptr && *name == "linear_attention") {
      config->layer_kinds.push_back(LayerKind::kLinearAttention);
    } else if (name != nullptr && *name == "full_attention") {
      config->layer_kinds.push_back(LayerKind::kFullAttention);
    } else {
      return fields.Invalid("layer_types",
                            fmt::format("{} is not \"linear_attention\" or \"full_attention\"", type.Describe()));
    }
  }
  return Status();
}

Status ParseLayerMlps(const FieldReader& fields, ModelConfig* config) {
  QNEXT_ASSIGN_OR_RETURN(const int64_t step, fields.IntegerOr("decoder_sparse_step", 1, kMaxLayers, 1));
  QNEXT_ASSIGN_OR_RETURN(const std::vector<int64_t> dense,
                         fields.Integers("mlp_only_layers", 0, config->num_layers - 1));
  config->layer_is_moe.resize(static_cast<size_t>(config->num_layers));
  for (int64_t layer = 0; layer < config->num_layers; ++layer) {
    config->layer_is_moe[static_cast<size_t>(layer)] = config->num_experts > 0 && (layer + 1) % step == 0;
  }
  for (int64_t layer : dense) config->layer_is_moe[static_cast<size_t>(layer)] = false;
  if (std::find(config->layer_is_moe.begin(), config->layer_is_moe.end(), false) != config->layer_is_moe.end()) {
    QNEXT_ASSIGN_OR_RETURN(config->intermediate_size, fields.Integer("intermediate_size", 1, kMaxExtent));
  }
  return Status();
}

// In double: the exact count does not matter, only that it is far from overflowing.
Status CheckParameterCount(const FieldReader& fields, const ModelConfig& config) {
  const auto real = [](int64_t x) { return static_cast<double>(x); };
  const double moe = 3 * real(config.num_experts) * real(config.moe_intermediate_size) +
                     3 * real(config.shared_expert_intermediate_size) + real(config.num_experts);
  const double widest =
      std::max(moe, 3 * real(config.intermediate_size)) +
      std::max(real(config.conv_channels()) + 2 * real(config.linear_num_value_heads * config.linear_head_dim),
               4 * real(config.num_attention_heads * config.head_dim));
  const double total = real(config.hidden_size) * (real(config.num_layers) * widest + 2 * real(config.vocab_size));
  if (total > kMaxParameters) {
    return InvalidArgument(fmt::format("{}: the dimensions make about {:.3g} parameters, above {:.3g}",
                                       fields.context(), total, kMaxParameters));
  }
  return Status();
}

Result<std::optional<QuantizationConfig>> ParseQuantization(const FieldReader& fields, const std::string& path,
                                                            const std::string& fallback_text) {
  if (const JsonValue* object = fields.Find("quantization_config")) {
    QNEXT_ASSIGN_OR_RETURN(QuantizationConfig config,
                           QuantizationConfig::FromJson(*object, path + ": quantization_config",
                                                        QuantizationConfig::Source::kModelConfig));
    return std::optional(std::move(config));
  }
  if (fallback_text.empty()) return std::optional<QuantizationConfig>();
  const std::string fallback_path = std::filesystem::path(path).replace_filename("quantize_config.json").string();
  Result<JsonValue> object = ParseJson(fallback_text);
  if (!object.ok()) return object.status().WithContext(fallback_path);
  QNEXT_ASSIGN_OR_RETURN(
      QuantizationConfig config,
      QuantizationConfig::FromJson(*object, fallback_path, QuantizationConfig::Source::kQuantizeConfig));
  return std::optional(std::move(config));
}

}  // namespace

int64_t ModelConfig::CountLayers(LayerKind kind) const {
  return std::count(layer_kinds.begin(), layer_kinds.end(), kind);
}

Result<ModelConfig> ParseModelConfig(const std::string& text, const std::string& path,
                                     const std::string& quantize_config_text) {
  Result<JsonValue> json = ParseJson(text, {.max_bytes = kMaxConfigBytes});
  if (!json.ok()) return json.status().WithContext(path);
  if (json->object() == nullptr)
    return Corrupt(fmt::format("{}: expected an object, found {}", path, json->Describe()));
  const FieldReader fields(*json, path);

  QNEXT_RETURN_IF_ERROR(CheckKind(fields));
  QNEXT_RETURN_IF_ERROR(CheckFixed(fields));
  ModelConfig config;
  QNEXT_ASSIGN_OR_RETURN(config.num_layers, fields.Integer("num_hidden_layers", 1, kMaxLayers));
  QNEXT_ASSIGN_OR_RETURN(config.hidden_size, fields.Integer("hidden_size", 1, kMaxExtent));
  QNEXT_ASSIGN_OR_RETURN(config.vocab_size, fields.Integer("vocab_size", 1, kMaxExtent));
  QNEXT_ASSIGN_OR_RETURN(config.rms_norm_eps, fields.Number("rms_norm_eps", 1e-12, 1e-1));
  QNEXT_ASSIGN_OR_RETURN(config.tie_word_embeddings, fields.Bool("tie_word_embeddings"));
  QNEXT_ASSIGN_OR_RETURN(config.eos_token_ids, fields.Integers("eos_token_id", 0, config.vocab_size - 1));
  QNEXT_RETURN_IF_ERROR(ParseAttention(fields, &config));
  QNEXT_RETURN_IF_ERROR(ParseLinearAttention(fields, &config));
  QNEXT_RETURN_IF_ERROR(ParseExperts(fields, &config));
  QNEXT_RETURN_IF_ERROR(ParseLayerKinds(fields, &config));
  QNEXT_RETURN_IF_ERROR(ParseLayerMlps(fields, &config));
  QNEXT_RETURN_IF_ERROR(CheckParameterCount(fields, config));
  QNEXT_ASSIGN_OR_RETURN(config.quantization, ParseQuantization(fields, path, quantize_config_text));
  return config;
}

Result<ModelConfig> LoadModelConfig(const std::string& folder) {
  const std::string path = folder + "/config.json";
  const std::string quantize_path = folder + "/quantize_config.json";
  QNEXT_ASSIGN_OR_RETURN(const std::string text, ReadFileToString(path, kMaxConfigBytes));
  std::string quantize_text;
  if (FileExists(quantize_path)) {
    QNEXT_ASSIGN_OR_RETURN(quantize_text, ReadFileToString(quantize_path, kMaxConfigBytes));
  }
  QNEXT_ASSIGN_OR_RETURN(ModelConfig config, ParseModelConfig(text, path, quantize_text));
  if (!config.quantization && quantize_text.empty() && FileExists(quantize_path)) {
    return Corrupt(quantize_path + ": is empty");
  }
  QNEXT_ASSIGN_OR_RETURN(GenerationDefaults defaults, LoadGenerationDefaults(folder));
  for (int64_t id : defaults.eos_token_ids) {
    if (id >= config.vocab_size) {
      return InvalidArgument(fmt::format("{}/generation_config.json: eos_token_id: {} is outside 0 .. {}", folder, id,
                                         config.vocab_size - 1));
    }
  }
  if (!defaults.eos_token_ids.empty()) config.eos_token_ids = std::move(defaults.eos_token_ids);
  return config;
}

}  // namespace qnext
