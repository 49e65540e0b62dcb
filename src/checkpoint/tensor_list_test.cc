#include "checkpoint/tensor_list.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

#include "base/range.h"
#include "checkpoint/inspect.h"
#include "checkpoint/testing.h"
#include "config/testing.h"

namespace qnext {
namespace {

ModelConfig Config(const std::string& text) {
  Result<ModelConfig> config = ParseModelConfig(text, "config.json");
  EXPECT_TRUE(config.ok()) << config.status().message();
  return config.ok() ? *config : ModelConfig();
}

std::map<std::string, ExpectedTensor> ByName(const ModelConfig& config) {
  std::map<std::string, ExpectedTensor> list;
  for (const ExpectedTensor& expected : ExpectedTensors(config)) {
    EXPECT_TRUE(list.emplace(expected.name, expected).second) << expected.name << " is listed twice";
  }
  return list;
}

TEST(TensorList, The80BHasThePublishedShapes) {
  const std::map<std::string, ExpectedTensor> list = ByName(Config(std::string(kConfig80B)));
  // Per layer two norms, a router, the shared expert's gate and 3 linears, 512 experts of 3; 7 tensors in a linear
  // layer and 6 in a full one.
  EXPECT_EQ(list.size(), 48U * (2 + 1 + 1 + 3 + 512 * 3) + 36 * 7 + 12 * 6 + 3);
  const std::map<std::string, Shape> shapes = {
      {"model.embed_tokens.weight", {151936, 2048}},
      {"model.layers.0.input_layernorm.weight", {2048}},
      {"model.layers.0.post_attention_layernorm.weight", {2048}},
      {"model.layers.0.linear_attn.in_proj_qkvz", {12288, 2048}},
      {"model.layers.0.linear_attn.in_proj_ba", {64, 2048}},
      {"model.layers.0.linear_attn.conv1d.weight", {8192, 1, 4}},
      {"model.layers.0.linear_attn.A_log", {32}},
      {"model.layers.0.linear_attn.dt_bias", {32}},
      {"model.layers.0.linear_attn.norm.weight", {128}},
      {"model.layers.0.linear_attn.out_proj", {2048, 4096}},
      {"model.layers.3.self_attn.q_proj", {8192, 2048}},
      {"model.layers.3.self_attn.k_proj", {512, 2048}},
      {"model.layers.3.self_attn.v_proj", {512, 2048}},
      {"model.layers.3.self_attn.o_proj", {2048, 4096}},
      {"model.layers.3.self_attn.q_norm.weight", {256}},
      {"model.layers.3.self_attn.k_norm.weight", {256}},
      {"model.layers.47.mlp.gate", {512, 2048}},
      {"model.layers.47.mlp.experts.511.gate_proj", {512, 2048}},
      {"model.layers.47.mlp.experts.511.up_proj", {512, 2048}},
      {"model.layers.47.mlp.experts.511.down_proj", {2048, 512}},
      {"model.layers.0.mlp.shared_expert.gate_proj", {512, 2048}},
      {"model.layers.0.mlp.shared_expert.up_proj", {512, 2048}},
      {"model.layers.0.mlp.shared_expert.down_proj", {2048, 512}},
      {"model.layers.0.mlp.shared_expert_gate", {1, 2048}},
      {"model.norm.weight", {2048}},
      {"lm_head", {151936, 2048}},
  };
  for (const auto& [name, shape] : shapes) {
    ASSERT_TRUE(list.contains(name)) << name;
    EXPECT_EQ(list.at(name).shape, shape) << name;
  }
  EXPECT_FALSE(list.contains("model.layers.0.self_attn.q_proj"));
  EXPECT_FALSE(list.contains("model.layers.3.linear_attn.out_proj"));
  for (const std::string name : {"model.layers.0.mlp.gate", "model.layers.0.mlp.shared_expert_gate", "lm_head"}) {
    EXPECT_FALSE(list.at(name).may_be_quantized) << name;
  }
  EXPECT_TRUE(list.at("model.layers.0.mlp.shared_expert.up_proj").may_be_quantized);
}

TEST(TensorList, The80BHasThePublishedSizes) {
  std::map<Component, double> parameters;
  double total = 0, expert_bytes = 0, int4_bytes = 0;
  for (const ExpectedTensor& expected : ExpectedTensors(Config(std::string(kConfig80B)))) {
    const std::string name = expected.role == TensorRole::kLinear ? expected.name + ".weight" : expected.name;
    const auto count = static_cast<double>(expected.shape.Elements().value());
    parameters[ComponentOf(name)] += count;
    total += count;
    double bytes = 2 * count;
    if (ComponentOf(name) == Component::kRoutedExperts) {  // codes and F16 scales, group 128
      bytes = count / 2 + 2 * static_cast<double>(expected.shape[0] * CeilDiv(expected.shape[1], 128));
      expert_bytes += bytes;
    }
    int4_bytes += bytes;
  }
  EXPECT_NEAR(total, 79.67e9, 0.01e9);
  EXPECT_NEAR(int4_bytes, 44.6e9, 0.05e9);
  EXPECT_NEAR(expert_bytes, 39.9e9, 0.05e9);
  EXPECT_NEAR(parameters[Component::kRoutedExperts], 77.3e9, 0.05e9);
  EXPECT_NEAR(parameters[Component::kLinearAttention], 1214e6, 1e6);
  EXPECT_NEAR(parameters[Component::kFullAttention], 327e6, 1e6);
  EXPECT_NEAR(parameters[Component::kSharedExperts] + parameters[Component::kRouters], 201e6, 1e6);
  EXPECT_NEAR(parameters[Component::kLmHead], 311e6, 1e6);
  EXPECT_NEAR(parameters[Component::kEmbedding], 311e6, 1e6);
  EXPECT_EQ(parameters[Component::kOther], 0);
  EXPECT_EQ(parameters[Component::kDenseMlp], 0);
}

TEST(TensorList, FollowsTheConfigurationsVariants) {
  std::string text = Edited(kConfig80B, "\"num_hidden_layers\": 48", "\"num_hidden_layers\": 2");
  text = Edited(text, "\"full_attention_interval\": 4", R"("layer_types": ["full_attention", "linear_attention"])");
  text = Edited(text, "\"mlp_only_layers\": []", "\"mlp_only_layers\": [1]");
  text = Edited(text, "\"shared_expert_intermediate_size\": 512", "\"shared_expert_intermediate_size\": 0");
  text = Edited(text, "\"tie_word_embeddings\": false", "\"tie_word_embeddings\": true");
  const std::map<std::string, ExpectedTensor> list = ByName(Config(text));
  EXPECT_TRUE(list.contains("model.layers.0.self_attn.q_proj"));
  EXPECT_TRUE(list.contains("model.layers.1.linear_attn.out_proj"));
  EXPECT_TRUE(list.contains("model.layers.0.mlp.experts.0.up_proj"));
  EXPECT_FALSE(list.contains("model.layers.0.mlp.shared_expert_gate"));
  EXPECT_FALSE(list.contains("model.layers.0.mlp.shared_expert.up_proj"));
  EXPECT_FALSE(list.contains("model.layers.1.mlp.gate"));
  EXPECT_FALSE(list.contains("lm_head")) << "tied to the embedding";
  EXPECT_EQ(list.at("model.layers.1.mlp.down_proj").shape, (Shape{2048, 5120}));
  EXPECT_TRUE(list.at("model.layers.1.mlp.down_proj").may_be_quantized);

  const std::string head = Edited(kQuantizationAllLinears, "\"lm_head\": false", "\"lm_head\": true");
  EXPECT_TRUE(ByName(Config(WithMember(kConfig80B, "quantization_config", head))).at("lm_head").may_be_quantized);
}

TEST(TensorList, ClassesAreTheSameInEveryLayer) {
  EXPECT_EQ(ModuleClass("model.layers.12.mlp.experts.3.up_proj"), "mlp.experts.*.up_proj");
  EXPECT_EQ(ModuleClass("model.layers.0.self_attn.q_proj"), "self_attn.q_proj");
  EXPECT_EQ(ModuleClass("mtp.layers.0.mlp.gate"), "mtp.layers.*.mlp.gate");
  EXPECT_EQ(ModuleClass("lm_head"), "lm_head");
  EXPECT_EQ(ModuleClass(""), "");
  EXPECT_TRUE(IsMtpTensor("mtp.fc.weight"));
  EXPECT_FALSE(IsMtpTensor("model.mtp.fc.weight"));
}

}  // namespace
}  // namespace qnext
