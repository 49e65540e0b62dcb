// For tests of any folder: configurations like the built-in synthetic kinds, but small.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "base/check.h"
#include "checkpoint/synthetic.h"

namespace qnext {

// The kind's config.json with narrow layers and few experts, and `changes` on top of that.
inline SyntheticKind ReducedKind(const std::string& name, const nlohmann::json& changes = nlohmann::json::object()) {
  Result<SyntheticKind> kind = FindSyntheticKind(name);
  QNEXT_CHECK(kind.ok(), kind.status().message().c_str());
  nlohmann::json config = nlohmann::json::parse(kind->config_json);
  config.update({{"hidden_size", 256},
                 {"num_attention_heads", 4},
                 {"head_dim", 64},
                 {"linear_num_key_heads", 2},
                 {"linear_num_value_heads", 4},
                 {"linear_key_head_dim", 64},
                 {"linear_value_head_dim", 64},
                 {"num_experts", 32},
                 {"num_experts_per_tok", 4},
                 {"moe_intermediate_size", 128},
                 {"shared_expert_intermediate_size", 128},
                 {"vocab_size", 512}});
  config.merge_patch(changes);
  return {.name = name + ", reduced", .config_json = config.dump(1)};
}

// Every spelling of the format that a configuration can ask for.
inline std::vector<nlohmann::json> FormatChanges() {
  return {{{"quantization_config", {{"checkpoint_format", "gptq_v2"}}}},
          {{"quantization_config", {{"sym", false}}}},
          {{"quantization_config", {{"sym", false}, {"checkpoint_format", "gptq_v2"}}}},
          {{"quantization_config", {{"desc_act", true}, {"group_size", 64}}}},
          {{"quantization_config", {{"group_size", -1}}}},
          {{"quantization_config", nullptr}},
          {{"linear_num_value_heads", 2}},
          {{"tie_word_embeddings", true}}};
}

}  // namespace qnext
