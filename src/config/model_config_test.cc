#include "config/model_config.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "config/testing.h"

namespace qnext {
namespace {

Result<ModelConfig> Parse(std::string_view text, const std::string& quantize_text = "") {
  return ParseModelConfig(std::string(text), "m/config.json", quantize_text);
}

// The error of the 80B configuration with one edit.
Status ErrorOf(std::string_view from, std::string_view to) {
  const Result<ModelConfig> config = Parse(Edited(kConfig80B, from, to));
  return config.ok() ? Status() : config.status();
}

TEST(ModelConfig, ReadsThePublished80B) {
  const Result<ModelConfig> parsed = Parse(kConfig80B);
  ASSERT_TRUE(parsed.ok()) << parsed.status().message();
  const ModelConfig& config = *parsed;
  EXPECT_EQ(config.num_layers, 48);
  EXPECT_EQ(config.hidden_size, 2048);
  EXPECT_EQ(config.vocab_size, 151936);
  EXPECT_EQ(config.CountLayers(LayerKind::kLinearAttention), 36);
  EXPECT_EQ(config.CountLayers(LayerKind::kFullAttention), 12);
  EXPECT_EQ(config.layer_kinds[0], LayerKind::kLinearAttention);
  EXPECT_EQ(config.layer_kinds[3], LayerKind::kFullAttention);
  EXPECT_EQ(config.layer_kinds[47], LayerKind::kFullAttention);
  EXPECT_EQ(config.layer_is_moe, std::vector<bool>(48, true));
  EXPECT_EQ(config.num_attention_heads, 16);
  EXPECT_EQ(config.num_key_value_heads, 2);
  EXPECT_EQ(config.head_dim, 256);
  EXPECT_EQ(config.rotary_dims, 64);
  EXPECT_EQ(config.rope_theta, 1e7);
  EXPECT_FALSE(config.yarn.has_value());
  EXPECT_EQ(config.max_position_embeddings, 262144);
  EXPECT_EQ(config.linear_num_key_heads, 16);
  EXPECT_EQ(config.linear_num_value_heads, 32);
  EXPECT_EQ(config.linear_head_dim, 128);
  EXPECT_EQ(config.conv_channels(), 8192);
  EXPECT_EQ(config.num_experts, 512);
  EXPECT_EQ(config.num_experts_per_token, 10);
  EXPECT_EQ(config.moe_intermediate_size, 512);
  EXPECT_EQ(config.shared_expert_intermediate_size, 512);
  EXPECT_TRUE(config.norm_topk_prob);
  EXPECT_EQ(config.rms_norm_eps, 1e-6);
  EXPECT_FALSE(config.tie_word_embeddings);
  EXPECT_EQ(config.eos_token_ids, std::vector<int64_t>{151645});
  EXPECT_FALSE(config.quantization.has_value());
}

TEST(ModelConfig, LayerTypesWinOverTheInterval) {
  const std::string text = Edited(Edited(kConfig80B, "\"num_hidden_layers\": 48", "\"num_hidden_layers\": 3"),
                                  "\"full_attention_interval\": 4",
                                  R"("layer_types": ["full_attention", "linear_attention", "full_attention"])");
  const Result<ModelConfig> config = Parse(text);
  ASSERT_TRUE(config.ok()) << config.status().message();
  EXPECT_EQ(config->layer_kinds, (std::vector<LayerKind>{LayerKind::kFullAttention, LayerKind::kLinearAttention,
                                                         LayerKind::kFullAttention}));
  EXPECT_FALSE(Parse(Edited(text, "linear_attention", "sliding_attention")).ok());
  EXPECT_FALSE(Parse(Edited(text, "\"num_hidden_layers\": 3", "\"num_hidden_layers\": 4")).ok());
}

// The coding model of the same architecture, as its auto-round release writes it.
TEST(ModelConfig, ReadsTheAutoRoundReleaseOfTheCodingModel) {
  std::string types;
  for (int layer = 0; layer < 48; ++layer) {
    types += layer == 0 ? "" : ", ";
    types += (layer + 1) % 4 == 0 ? "\"full_attention\"" : "\"linear_attention\"";
  }
  std::string text = Edited(kConfig80B, "\"rope_theta\": 10000000", "\"rope_theta\": 5000000");
  text = Edited(text, "\"torch_dtype\"", "\"dtype\"");
  text = WithMember(text, "layer_types", "[" + types + "]");
  text = WithMember(text, "quantization_config", R"({
      "bits": 4, "data_type": "int", "group_size": 128, "sym": true, "autoround_version": "0.10.0",
      "quant_method": "auto-round", "packing_format": "auto_round:auto_gptq",
      "extra_config": {"model.layers.0.mlp.shared_expert_gate": {"bits": 16, "data_type": "fp"}}})");
  const Result<ModelConfig> config = Parse(text);
  ASSERT_TRUE(config.ok()) << config.status().message();
  EXPECT_EQ(config->rope_theta, 5e6);
  EXPECT_EQ(config->CountLayers(LayerKind::kFullAttention), 12);
  EXPECT_EQ(config->quantization->method(), "auto-round");
  EXPECT_FALSE(config->quantization->ForModule("model.layers.0.mlp.shared_expert_gate").has_value());
}

TEST(ModelConfig, DenseMlpLayers) {
  std::string text = Edited(kConfig80B, "\"num_hidden_layers\": 48", "\"num_hidden_layers\": 6");
  text = Edited(text, "\"decoder_sparse_step\": 1", "\"decoder_sparse_step\": 2");
  text = Edited(text, "\"mlp_only_layers\": []", "\"mlp_only_layers\": [3]");
  const Result<ModelConfig> config = Parse(text);
  ASSERT_TRUE(config.ok()) << config.status().message();
  EXPECT_EQ(config->layer_is_moe, (std::vector<bool>{false, true, false, false, false, true}));
  EXPECT_EQ(config->intermediate_size, 5120);
  EXPECT_FALSE(Parse(Edited(text, "\"intermediate_size\": 5120,", "")).ok()) << "dense layers need their width";

  const Result<ModelConfig> dense = Parse(Edited(kConfig80B, "\"num_experts\": 512", "\"num_experts\": 0"));
  ASSERT_TRUE(dense.ok()) << dense.status().message();
  EXPECT_EQ(dense->layer_is_moe, std::vector<bool>(48, false));
}

TEST(ModelConfig, OptionalFieldsHaveHuggingFacesDefaults) {
  std::string text = Edited(kConfig80B, "\"attention_bias\": false,", "");
  text = Edited(text, "\"decoder_sparse_step\": 1,", "");
  text = Edited(text, "\"mlp_only_layers\": [],", "");
  text = Edited(text, "\"intermediate_size\": 5120,", "");
  text = Edited(text, "\"use_sliding_window\": false,", "");
  text = Edited(text, "\"architectures\": [\"Qwen3NextForCausalLM\"],", "");
  text = Edited(text, "\"eos_token_id\": 151645,", "");
  const Result<ModelConfig> config = Parse(text);
  ASSERT_TRUE(config.ok()) << config.status().message();
  EXPECT_EQ(config->layer_is_moe, std::vector<bool>(48, true));
  EXPECT_TRUE(config->eos_token_ids.empty());
}

TEST(ModelConfig, EveryRequiredFieldIsNamedWhenMissing) {
  for (const std::string key : {"model_type",
                                "hidden_act",
                                "num_hidden_layers",
                                "hidden_size",
                                "vocab_size",
                                "rms_norm_eps",
                                "tie_word_embeddings",
                                "num_attention_heads",
                                "num_key_value_heads",
                                "head_dim",
                                "max_position_embeddings",
                                "rope_theta",
                                "partial_rotary_factor",
                                "linear_num_key_heads",
                                "linear_num_value_heads",
                                "linear_key_head_dim",
                                "linear_value_head_dim",
                                "linear_conv_kernel_dim",
                                "num_experts",
                                "num_experts_per_tok",
                                "moe_intermediate_size",
                                "shared_expert_intermediate_size",
                                "norm_topk_prob",
                                "full_attention_interval"}) {
    const Status error = ErrorOf("\"" + key + "\":", "\"other_" + key + "\":");
    EXPECT_EQ(error.message(), "m/config.json: " + key + ": is required and missing");
  }
}

TEST(ModelConfig, NamesTheFieldThatIsWrong) {
  struct Case {
    std::string from, to, expected;
    StatusCode code = StatusCode::kInvalidArgument;
  };
  const StatusCode unsupported = StatusCode::kUnsupported;
  for (const Case& c : std::vector<Case>{
           {"\"hidden_size\": 2048", "\"hidden_size\": \"2048\"", "hidden_size: expected an integer, found \"2048\""},
           {"\"hidden_size\": 2048", "\"hidden_size\": 2048.0", "hidden_size: expected an integer"},
           {"\"hidden_size\": 2048", "\"hidden_size\": 0", "hidden_size: 0 is outside"},
           {"\"hidden_size\": 2048", "\"hidden_size\": -2048", "hidden_size: -2048 is outside"},
           {"\"hidden_size\": 2048", "\"hidden_size\": 4611686018427387904", "hidden_size: 4611686018427387904"},
           {"\"hidden_size\": 2048", "\"hidden_size\": 1e3", "hidden_size: expected an integer"},
           {"\"num_hidden_layers\": 48", "\"num_hidden_layers\": 100000", "num_hidden_layers: 100000 is outside"},
           {"\"vocab_size\": 151936", "\"vocab_size\": null", "vocab_size: is required and missing"},
           {"\"num_key_value_heads\": 2", "\"num_key_value_heads\": 3", "num_attention_heads: 16 is not a multiple"},
           {"\"linear_num_key_heads\": 16", "\"linear_num_key_heads\": 5", "linear_num_value_heads: 32 is not a"},
           {"\"linear_num_value_heads\": 32", "\"linear_num_value_heads\": 16384", "linear_num_value_heads: times"},
           {"\"num_attention_heads\": 16", "\"num_attention_heads\": 8192", "num_attention_heads: times head_dim"},
           {"\"num_experts_per_tok\": 10", "\"num_experts_per_tok\": 513", "num_experts_per_tok: 513 is above"},
           {"\"num_experts_per_tok\": 10", "\"num_experts_per_tok\": 0", "num_experts_per_tok: 0 is outside"},
           {"\"num_experts\": 512", "\"num_experts\": 65536", "num_experts: times num_hidden_layers"},
           {"\"mlp_only_layers\": []", "\"mlp_only_layers\": [48]", "mlp_only_layers: 48 is outside 0 .. 47"},
           {"\"mlp_only_layers\": []", "\"mlp_only_layers\": [\"a\"]", "mlp_only_layers: expected integers"},
           {"\"decoder_sparse_step\": 1", "\"decoder_sparse_step\": 0", "decoder_sparse_step: 0 is outside"},
           {"\"full_attention_interval\": 4", "\"full_attention_interval\": 0", "full_attention_interval: 0 is"},
           {"\"full_attention_interval\": 4", "\"layer_types\": 4", "layer_types: expected a list of 48 names"},
           {"\"eos_token_id\": 151645", "\"eos_token_id\": 151936", "eos_token_id: 151936 is outside"},
           {"\"eos_token_id\": 151645", "\"eos_token_id\": \"x\"", "eos_token_id: expected an integer or a list"},
           {"\"rms_norm_eps\": 1e-06", "\"rms_norm_eps\": 0", "rms_norm_eps: 0 is outside"},
           {"\"rms_norm_eps\": 1e-06", "\"rms_norm_eps\": true", "rms_norm_eps: expected a number, found true"},
           {"\"norm_topk_prob\": true", "\"norm_topk_prob\": 1", "norm_topk_prob: expected true or false, found 1"},
           {"\"architectures\": [\"Qwen3NextForCausalLM\"]", "\"architectures\": 1", "architectures: expected a list"},
           {"Qwen3NextForCausalLM", "Qwen3MoeForCausalLM", "architectures: does not hold", unsupported},
           {"\"qwen3_next\"", "\"llama\"", "model_type: \"llama\"; this program runs", unsupported},
           {"\"hidden_act\": \"silu\"", "\"hidden_act\": \"gelu\"", "hidden_act: \"gelu\"; only", unsupported},
           {"\"attention_bias\": false", "\"attention_bias\": true", "attention_bias: true", unsupported},
           {"\"use_sliding_window\": false", "\"use_sliding_window\": true", "use_sliding_window: true", unsupported},
           {"\"linear_value_head_dim\": 128", "\"linear_value_head_dim\": 64", "linear_value_head_dim: 64 differs",
            unsupported},
           {"\"linear_conv_kernel_dim\": 4", "\"linear_conv_kernel_dim\": 3", "linear_conv_kernel_dim: 3", unsupported},
       }) {
    const Status error = ErrorOf(c.from, c.to);
    EXPECT_EQ(error.code(), c.code) << c.to;
    EXPECT_EQ(error.message().rfind("m/config.json: " + c.expected, 0), 0U) << c.to << ": " << error.message();
  }
}

TEST(ModelConfig, RefusesDimensionsWhoseProductsCouldOverflow) {
  std::string text = Edited(kConfig80B, "\"hidden_size\": 2048", "\"hidden_size\": 1048576");
  text = Edited(text, "\"moe_intermediate_size\": 512", "\"moe_intermediate_size\": 1048576");
  const Result<ModelConfig> config = Parse(text);
  ASSERT_FALSE(config.ok());
  EXPECT_NE(config.status().message().find("m/config.json: the dimensions make about"), std::string::npos)
      << config.status().message();
}

TEST(ModelConfig, RefusesTextThatIsNoObject) {
  EXPECT_EQ(Parse("").status().code(), StatusCode::kCorrupt);
  EXPECT_EQ(Parse("[]").status().message(), "m/config.json: expected an object, found an array");
  EXPECT_EQ(Parse(std::string(100000, '[')).status().message().rfind("m/config.json: JSON nested", 0), 0U);
  const Status twice = Parse(WithMember(kConfig80B, "num_experts", "256")).status();
  EXPECT_NE(twice.message().find("\"num_experts\" occurs twice"), std::string::npos) << twice.message();
}

TEST(ModelConfig, QuantizationOfConfigJsonWinsOverTheFile) {
  const std::string both = WithMember(kConfig80B, "quantization_config", kQuantizationAllLinears);
  const Result<ModelConfig> config = Parse(both, std::string(kQuantizationExpertsOnly));
  ASSERT_TRUE(config.ok()) << config.status().message();
  EXPECT_EQ(config->quantization->defaults().group_size, 128);

  const Result<ModelConfig> fallback = Parse(kConfig80B, std::string(kQuantizationExpertsOnly));
  ASSERT_TRUE(fallback.ok()) << fallback.status().message();
  EXPECT_EQ(fallback->quantization->defaults().group_size, 32);

  const std::string bad = Edited(kQuantizationExpertsOnly, "\"group_size\": 32", "\"group_size\": 96");
  EXPECT_EQ(Parse(WithMember(kConfig80B, "quantization_config", bad)).status().message(),
            "m/config.json: quantization_config: group_size: 96 is not one of 32, 64, 128, -1");
  EXPECT_EQ(Parse(kConfig80B, bad).status().message(),
            "m/quantize_config.json: group_size: 96 is not one of 32, 64, 128, -1");
  EXPECT_EQ(Parse(kConfig80B, "{").status().message().rfind("m/quantize_config.json: not valid JSON", 0), 0U);
}

TEST(ModelConfig, LoadsTheTinyCheckpointsFolder) {
  const std::string folder = std::string(QNEXT_SOURCE_DIR) + "/models/tiny";
  const Result<ModelConfig> config = LoadModelConfig(folder);
  ASSERT_TRUE(config.ok()) << config.status().message();
  EXPECT_EQ(config->num_layers, 8);
  EXPECT_EQ(config->eos_token_ids, (std::vector<int64_t>{4098, 4096})) << "generation_config.json wins";
  ASSERT_TRUE(config->quantization.has_value());
  EXPECT_EQ(config->quantization->defaults().group_size, 128);
}

TEST(ModelConfig, LoadNamesTheFileAtFault) {
  const std::string folder = ::testing::TempDir() + "/qnext_load_config";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  EXPECT_EQ(LoadModelConfig(folder).status().code(), StatusCode::kNotFound);
  std::ofstream(folder + "/config.json") << kConfig80B;
  EXPECT_TRUE(LoadModelConfig(folder).ok());
  std::ofstream(folder + "/generation_config.json") << R"({"eos_token_id": [1, 200000]})";
  EXPECT_EQ(LoadModelConfig(folder).status().message(),
            folder + "/generation_config.json: eos_token_id: 200000 is outside 0 .. 151935");
  std::ofstream(folder + "/generation_config.json") << R"({"eos_token_id": [1, 2]})";
  EXPECT_EQ(LoadModelConfig(folder)->eos_token_ids, (std::vector<int64_t>{1, 2}));
}

}  // namespace
}  // namespace qnext
