#include "checkpoint/inspect.h"

#include <gtest/gtest.h>

#include <ctime>
#include <filesystem>
#include <string>

#include "checkpoint/testing.h"
#include "config/testing.h"

namespace qnext {
namespace {

const InspectReport::ComponentSize* FindComponent(const InspectReport& report, Component component) {
  for (const InspectReport::ComponentSize& size : report.components) {
    if (size.component == component) return &size;
  }
  return nullptr;
}

const InspectReport::ModuleClassInfo* FindClass(const InspectReport& report, const std::string& name) {
  for (const InspectReport::ModuleClassInfo& info : report.classes) {
    if (info.name == name) return &info;
  }
  return nullptr;
}

bool Mentions(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

TEST(Inspect, EveryTensorHasItsComponent) {
  EXPECT_EQ(ComponentOf("model.embed_tokens.weight"), Component::kEmbedding);
  EXPECT_EQ(ComponentOf("model.layers.0.linear_attn.norm.weight"), Component::kLinearAttention);
  EXPECT_EQ(ComponentOf("model.layers.3.self_attn.q_norm.weight"), Component::kFullAttention);
  EXPECT_EQ(ComponentOf("model.layers.3.mlp.experts.5.up_proj.scales"), Component::kRoutedExperts);
  EXPECT_EQ(ComponentOf("model.layers.3.mlp.shared_expert.up_proj.qweight"), Component::kSharedExperts);
  EXPECT_EQ(ComponentOf("model.layers.3.mlp.shared_expert_gate.weight"), Component::kRouters);
  EXPECT_EQ(ComponentOf("model.layers.3.mlp.gate.weight"), Component::kRouters);
  EXPECT_EQ(ComponentOf("model.layers.3.mlp.gate_proj.weight"), Component::kDenseMlp);
  EXPECT_EQ(ComponentOf("model.layers.3.input_layernorm.weight"), Component::kNorms);
  EXPECT_EQ(ComponentOf("model.norm.weight"), Component::kNorms);
  EXPECT_EQ(ComponentOf("lm_head.qweight"), Component::kLmHead);
  EXPECT_EQ(ComponentOf("mtp.layers.0.mlp.experts.0.up_proj.weight"), Component::kMtp);
  EXPECT_EQ(ComponentOf("something.else"), Component::kOther);
}

TEST(Inspect, TheTinyCheckpoint) {
  const Result<InspectReport> inspected = Inspect(std::string(QNEXT_SOURCE_DIR) + "/models/tiny");
  ASSERT_TRUE(inspected.ok()) << inspected.status().message();
  const InspectReport& report = *inspected;
  EXPECT_TRUE(report.loadable()) << report.problems[0];
  EXPECT_EQ(report.shards.size(), 2U);
  EXPECT_EQ(report.tensors, 3430);
  EXPECT_EQ(report.tensor_bytes, 30264416);
  // 8 layers of 32 experts of 3 linears of 128 x 256.
  const InspectReport::ComponentSize* experts = FindComponent(report, Component::kRoutedExperts);
  ASSERT_NE(experts, nullptr);
  EXPECT_EQ(experts->parameters, 8 * 32 * 3 * 128 * 256);
  EXPECT_EQ(experts->tensors, 8 * 32 * 3 * 4);
  const InspectReport::ModuleClassInfo* up = FindClass(report, "mlp.experts.*.up_proj");
  ASSERT_NE(up, nullptr);
  EXPECT_EQ(up->modules, 256);
  EXPECT_EQ(up->quantized, 256);
  ASSERT_EQ(up->storage.size(), 1U);
  EXPECT_EQ(up->storage[0].format, "int4 group 128 symmetric, F16 scales");
  EXPECT_EQ(FindClass(report, "mlp.gate")->storage[0].format, "BF16");
  ASSERT_EQ(report.warnings.size(), 1U);
  EXPECT_TRUE(Mentions(report.warnings[0], "mtp.*"));

  const std::string text = FormatInspectText(report);
  for (const std::string_view part :
       {"8 (6 linear attention, 2 full attention; 8 with experts)", "routed experts", "mlp.experts.*.down_proj",
        "int4 group 128 symmetric, F16 scales", "model-00002-of-00002.safetensors", "Warnings (1)",
        "The checkpoint can be loaded."}) {
    EXPECT_TRUE(Mentions(text, part)) << part << " is not in\n" << text;
  }
  const std::string json = FormatInspectJson(report);
  for (const std::string_view part : {"\"loadable\": true", "\"parameters\"", "\"num_experts\": 32",
                                      "\"name\": \"routed experts\"", "\"checkpoint_format\": \"gptq\""}) {
    EXPECT_TRUE(Mentions(json, part)) << part << " is not in\n" << json;
  }
}

TEST(Inspect, ReportsWhatKeepsACheckpointFromLoading) {
  const std::string folder = FreshFolder("inspect_broken");
  EXPECT_EQ(Inspect(folder).status().code(), StatusCode::kNotFound) << "without config.json nothing can be judged";
  WriteCheckpoint(folder, kConfig80B, {{"a", DType::kU8, {1}}, {"b", DType::kU8, {1}}}, 2);
  Result<InspectReport> report = Inspect(folder);
  ASSERT_TRUE(report.ok()) << report.status().message();
  EXPECT_FALSE(report->loadable());
  EXPECT_GT(report->problems.size(), 74000U) << "every one of them, not the first twenty";
  std::filesystem::remove(folder + "/model-00002-of-00002.safetensors");
  report = Inspect(folder);
  ASSERT_TRUE(report.ok()) << report.status().message();
  ASSERT_EQ(report->problems.size(), 1U);
  EXPECT_TRUE(Mentions(report->problems[0], "1 of its 2 shards are missing"));
  EXPECT_TRUE(Mentions(FormatInspectText(*report), "The checkpoint cannot be loaded."));
  EXPECT_TRUE(Mentions(FormatInspectJson(*report), "\"loadable\": false"));
}

TEST(Inspect, WarnsOfWhatIsOddButHarmless) {
  const std::string asymmetric = Edited(kQuantizationAllLinears, "\"sym\": true", "\"sym\": false");
  std::string text = Edited(kConfig80B, "\"num_hidden_layers\": 48", "\"num_hidden_layers\": 4");
  text = Edited(text, "\"num_experts\": 512", "\"num_experts\": 16");
  const std::string config_json = WithMember(text, "quantization_config", asymmetric);
  const std::string attention_left_out =
      Edited(asymmetric, "\"dynamic\": {", R"("dynamic": {"-:.*self_attn.q_proj": {}, )");
  // The tensors of a writer that left q_proj out, under a configuration that does not say so.
  const Result<ModelConfig> writer =
      ParseModelConfig(WithMember(text, "quantization_config", attention_left_out), "config.json");
  ASSERT_TRUE(writer.ok()) << writer.status().message();
  const std::string folder = FreshFolder("inspect_odd");
  WriteCheckpoint(folder, config_json, StoredTensors(*writer), 3);
  const Result<InspectReport> report = Inspect(folder);
  ASSERT_TRUE(report.ok()) << report.status().message();
  EXPECT_TRUE(report->loadable()) << report->problems[0];
  ASSERT_EQ(report->warnings.size(), 2U);
  EXPECT_TRUE(Mentions(report->warnings[0], "asymmetric")) << report->warnings[0];
  EXPECT_EQ(report->warnings[1].rfind("self_attn.q_proj: no module is quantized", 0), 0U) << report->warnings[1];
}

// The real thing in size: 295 000 tensors in headers of 45 MB over 48 GB of (sparse) data.
TEST(Inspect, An80BCheckpointInSeconds) {
  const std::string folder = FreshFolder("inspect_80b");
  const std::string config_json = WithMember(kConfig80B, "quantization_config", kQuantizationAllLinears);
  const Result<ModelConfig> config = ParseModelConfig(config_json, "config.json");
  ASSERT_TRUE(config.ok()) << config.status().message();
  const std::vector<TestTensor> tensors = StoredTensors(*config);
  ASSERT_GT(tensors.size(), 295000U);
  WriteCheckpoint(folder, config_json, tensors, 2);
  const std::clock_t begin = std::clock();
  const Result<InspectReport> report = Inspect(folder);
  const double seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
  ASSERT_TRUE(report.ok()) << report.status().message();
  EXPECT_TRUE(report->loadable()) << report->problems[0];
  EXPECT_EQ(report->tensors, static_cast<int64_t>(tensors.size()));
  EXPECT_EQ(report->tensor_bytes, DataBytes(tensors));
  EXPECT_NEAR(static_cast<double>(report->parameters), 79.67e9, 0.01e9);
  // About 2 s of processor time in a release build; a quadratic step would take many minutes. The bound leaves room for
  // sanitizers.
  EXPECT_LT(seconds, 60);
  RecordProperty("seconds", std::to_string(seconds));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace qnext
