// Configurations for tests, here and in the rooms above: the published 80B model, and edits of JSON text.
#pragma once

#include <string>
#include <string_view>

#include "base/check.h"

namespace qnext {

// config.json of Qwen3-Next-80B-A3B-Instruct, field by field, without a quantization_config.
inline constexpr std::string_view kConfig80B = R"({
  "architectures": ["Qwen3NextForCausalLM"],
  "attention_bias": false,
  "attention_dropout": 0.0,
  "bos_token_id": 151643,
  "decoder_sparse_step": 1,
  "eos_token_id": 151645,
  "full_attention_interval": 4,
  "head_dim": 256,
  "hidden_act": "silu",
  "hidden_size": 2048,
  "initializer_range": 0.02,
  "intermediate_size": 5120,
  "linear_conv_kernel_dim": 4,
  "linear_key_head_dim": 128,
  "linear_num_key_heads": 16,
  "linear_num_value_heads": 32,
  "linear_value_head_dim": 128,
  "max_position_embeddings": 262144,
  "mlp_only_layers": [],
  "model_type": "qwen3_next",
  "moe_intermediate_size": 512,
  "norm_topk_prob": true,
  "num_attention_heads": 16,
  "num_experts": 512,
  "num_experts_per_tok": 10,
  "num_hidden_layers": 48,
  "num_key_value_heads": 2,
  "output_router_logits": false,
  "partial_rotary_factor": 0.25,
  "rms_norm_eps": 1e-06,
  "rope_scaling": null,
  "rope_theta": 10000000,
  "router_aux_loss_coef": 0.001,
  "shared_expert_intermediate_size": 512,
  "tie_word_embeddings": false,
  "torch_dtype": "bfloat16",
  "transformers_version": "4.57.0.dev0",
  "use_cache": true,
  "use_sliding_window": false,
  "vocab_size": 151936
})";

// The two published kinds of quantization: every block linear at group 128, and the experts alone at group 32.
inline constexpr std::string_view kQuantizationAllLinears = R"({
  "quant_method": "gptq", "bits": 4, "group_size": 128, "sym": true, "desc_act": false, "lm_head": false,
  "checkpoint_format": "gptq", "pack_dtype": "int32", "true_sequential": true,
  "dynamic": {"-:.*mtp.*": {}, "-:.*in_proj_ba.*": {}, "-:.*mlp\\.gate$": {}, "-:.*shared_expert_gate.*": {}}
})";
inline constexpr std::string_view kQuantizationExpertsOnly = R"({
  "quant_method": "gptq", "bits": 4, "group_size": 32, "sym": true, "desc_act": false, "lm_head": false,
  "checkpoint_format": "gptq", "pack_dtype": "int32",
  "dynamic": {"lm_head": {}, "-:.*attn.*": {}, "-:.*shared_expert.*": {}, "-:.*mtp.*": {}, "-:.*mlp\\.gate$": {}}
})";

// `json` with the first occurrence of `from` replaced; the test is wrong if there is none.
inline std::string Edited(std::string_view json, std::string_view from, std::string_view to) {
  std::string text(json);
  const size_t at = text.find(from);
  QNEXT_CHECK(at != std::string::npos, "nothing to edit");
  return text.replace(at, from.size(), to);
}

// `json` (an object) with one more member at its end: WithMember(kConfig80B, "x", "1").
inline std::string WithMember(std::string_view json, std::string_view key, std::string_view value) {
  std::string text(json.substr(0, json.rfind('}')));
  return text.append(", \"").append(key).append("\": ").append(value).append("}");
}

}  // namespace qnext
