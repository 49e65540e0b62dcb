// ModelConfig: everything config.json says about a Qwen3-Next model, validated.
//
// Dimension letters used in all of the code (docs/architecture.md): T tokens, D hidden, E experts, I expert width,
// K linear key heads, H linear value heads, S linear head dim, Hq query heads, Hkv key/value heads, Dh attention head
// dim, R rotary dims, V vocabulary.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "config/quantization_config.h"

namespace qnext {

enum class LayerKind : uint8_t { kLinearAttention, kFullAttention };

// YaRN context extension (rope_scaling or rope_parameters with rope_type "yarn").
struct YarnConfig {
  double factor = 1;
  int64_t original_max_position_embeddings = 0;
  double beta_fast = 32;
  double beta_slow = 1;
  double attention_factor = 1;  // multiplies cos and sin; default 0.1 ln(factor) + 1
};

struct ModelConfig {
  int64_t num_layers = 0;
  int64_t hidden_size = 0;             // D
  int64_t vocab_size = 0;              // V
  std::vector<LayerKind> layer_kinds;  // [num_layers]
  std::vector<bool> layer_is_moe;      // [num_layers]

  int64_t num_attention_heads = 0;  // Hq
  int64_t num_key_value_heads = 0;  // Hkv
  int64_t head_dim = 0;             // Dh
  int64_t rotary_dims = 0;          // R
  double rope_theta = 0;
  std::optional<YarnConfig> yarn;
  int64_t max_position_embeddings = 0;

  int64_t linear_num_key_heads = 0;    // K
  int64_t linear_num_value_heads = 0;  // H
  int64_t linear_head_dim = 0;         // S, key and value alike
  int64_t linear_conv_kernel = 0;      // 4

  int64_t num_experts = 0;                      // E
  int64_t num_experts_per_token = 0;            // top
  int64_t moe_intermediate_size = 0;            // I
  int64_t shared_expert_intermediate_size = 0;  // 0: no shared expert
  int64_t intermediate_size = 0;                // width of dense MLP layers
  bool norm_topk_prob = true;

  double rms_norm_eps = 1e-6;
  bool tie_word_embeddings = false;

  std::vector<int64_t> eos_token_ids;  // from config.json; generation_config.json overrides
  std::optional<QuantizationConfig> quantization;

  // Channels of the causal convolution: all q, all k, all v = 2*K*S + H*S.
  int64_t conv_channels() const {
    return 2 * linear_num_key_heads * linear_head_dim + linear_num_value_heads * linear_head_dim;
  }
  int64_t CountLayers(LayerKind kind) const;
  // Whether it has the shape of the model that this program is for, Qwen3-Next-80B-A3B, whatever its weights.
  bool IsThe80B() const { return num_layers == 48 && hidden_size == 2048 && num_experts == 512; }
};

// Parses the text of config.json (`path` only names it in errors). Every field is checked for type, range and
// divisibility, so that products of the dimensions fit 64 bits (docs/checkpoint.md lists the fields). Errors begin with
// the path, then the field: InvalidArgument, Unsupported (well formed, but not this program's), Corrupt (not JSON).
// `quantize_config_text` is the text of quantize_config.json, or empty; config.json's quantization_config wins over it.
Result<ModelConfig> ParseModelConfig(const std::string& text, const std::string& path,
                                     const std::string& quantize_config_text = "");

// Reads config.json, quantize_config.json (optional) and the eos ids of generation_config.json (optional) of a folder.
// eos_token_ids may come out empty: a file need not name any.
Result<ModelConfig> LoadModelConfig(const std::string& folder);

// Sampling defaults of generation_config.json; a field is absent when the file does not set it. top_k <= 0 means no
// limit.
struct GenerationDefaults {
  std::optional<double> temperature, top_p, min_p, repetition_penalty;
  std::optional<int64_t> top_k;
  std::optional<bool> do_sample;
  std::vector<int64_t> eos_token_ids;
};
Result<GenerationDefaults> ParseGenerationDefaults(const std::string& text, const std::string& path);
Result<GenerationDefaults> LoadGenerationDefaults(const std::string& folder);  // an absent file gives all absent

}  // namespace qnext
