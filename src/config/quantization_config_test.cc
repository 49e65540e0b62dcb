#include "config/quantization_config.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "config/testing.h"

namespace qnext {
namespace {

constexpr std::string_view kGptq = R"({"quant_method": "gptq", "bits": 4, "group_size": 128, "sym": true,
  "desc_act": false})";
constexpr std::string_view kAutoRound = R"({"quant_method": "auto-round", "packing_format": "auto_round:auto_gptq",
  "bits": 4, "group_size": 128, "sym": true, "data_type": "int"})";
constexpr std::string_view kExpert = "model.layers.7.mlp.experts.12.up_proj";

QuantizationConfig Parsed(std::string_view text) {
  Result<QuantizationConfig> config = QuantizationConfig::Parse(std::string(text));
  EXPECT_TRUE(config.ok()) << config.status().message();
  return config.ok() ? *config : QuantizationConfig();
}

Status ErrorOf(std::string_view text) {
  const Result<QuantizationConfig> config = QuantizationConfig::Parse(std::string(text));
  return config.ok() ? Status() : config.status();
}

TEST(QuantizationConfig, ReadsGptq) {
  const QuantizationConfig config = Parsed(kQuantizationAllLinears);
  EXPECT_EQ(config.method(), "gptq");
  EXPECT_EQ(config.format(), GptqFormat::kV1);
  EXPECT_FALSE(config.lm_head());
  EXPECT_EQ(config.defaults(), (GptqParams{.bits = 4, .group_size = 128, .symmetric = true, .desc_act = false}));
  EXPECT_EQ(config.ForModule(kExpert), config.defaults());
  EXPECT_EQ(config.ForModule("model.layers.3.self_attn.q_proj"), config.defaults());
  EXPECT_EQ(config.ForModule("model.layers.3.mlp.gate"), std::nullopt);
  EXPECT_EQ(config.ForModule("model.layers.3.mlp.gate_proj"), config.defaults());
  EXPECT_EQ(config.ForModule("model.layers.0.linear_attn.in_proj_ba"), std::nullopt);
  EXPECT_EQ(config.ForModule("lm_head"), std::nullopt);
}

TEST(QuantizationConfig, ExpertsOnly) {
  const QuantizationConfig config = Parsed(kQuantizationExpertsOnly);
  EXPECT_EQ(config.ForModule(kExpert)->group_size, 32);
  EXPECT_EQ(config.ForModule("model.layers.3.self_attn.q_proj"), std::nullopt);
  EXPECT_EQ(config.ForModule("model.layers.0.linear_attn.out_proj"), std::nullopt);
  EXPECT_EQ(config.ForModule("model.layers.0.mlp.shared_expert.up_proj"), std::nullopt);
  EXPECT_EQ(config.ForModule("lm_head"), std::nullopt) << "a rule without lm_head: true does not quantize it";
}

TEST(QuantizationConfig, FormatsAndHead) {
  EXPECT_EQ(Parsed(WithMember(kGptq, "checkpoint_format", "\"gptq_v2\"")).format(), GptqFormat::kV2);
  EXPECT_EQ(Parsed(WithMember(kGptq, "format", "\"gptq_v2\"")).format(), GptqFormat::kV2);
  EXPECT_EQ(Parsed(kGptq).format(), GptqFormat::kV1) << "absent means gptq";
  EXPECT_EQ(Parsed(Edited(kGptq, "128", "-1")).defaults().group_size, -1);
  EXPECT_TRUE(Parsed(Edited(kGptq, "\"desc_act\": false", "\"desc_act\": true")).defaults().desc_act);
  EXPECT_FALSE(Parsed(Edited(kGptq, "\"sym\": true", "\"sym\": false")).defaults().symmetric);
  const QuantizationConfig head = Parsed(WithMember(kGptq, "lm_head", "true"));
  EXPECT_TRUE(head.lm_head());
  EXPECT_TRUE(head.ForModule("lm_head").has_value());
  const QuantizationConfig unheaded =
      Parsed(WithMember(WithMember(kGptq, "lm_head", "true"), "dynamic", R"({"-:lm_head": {}})"));
  EXPECT_EQ(unheaded.ForModule("lm_head"), std::nullopt);
}

TEST(QuantizationConfig, RefusesAndNamesWhatItCannotRead) {
  struct Case {
    std::string text, expected;
    StatusCode code = StatusCode::kUnsupported;
  };
  const StatusCode invalid = StatusCode::kInvalidArgument;
  for (const Case& c : std::vector<Case>{
           {Edited(kGptq, "\"gptq\"", "\"awq\""), "quant_method: \"awq\"; this program reads"},
           {Edited(kGptq, "\"gptq\"", "\"fp8\""), "quant_method: \"fp8\""},
           {Edited(kGptq, "\"gptq\"", "\"bitsandbytes\""), "quant_method: \"bitsandbytes\""},
           {Edited(kGptq, "\"gptq\"", "\"compressed-tensors\""), "quant_method: \"compressed-tensors\""},
           {Edited(kGptq, "\"bits\": 4", "\"bits\": 8"), "bits: 8; only 4 is supported"},
           {Edited(kGptq, "\"bits\": 4", "\"bits\": 3"), "bits: 3; only 4 is supported"},
           {Edited(kGptq, "128", "96"), "group_size: 96 is not one of 32, 64, 128, -1"},
           {Edited(kGptq, "128", "0"), "group_size: 0 is not one of"},
           {WithMember(kGptq, "checkpoint_format", "\"marlin\""), "checkpoint_format: \"marlin\" is not one of"},
           {WithMember(kGptq, "is_marlin_format", "true"), "is_marlin_format: true"},
           {WithMember(kGptq, "pack_dtype", "\"int64\""), "pack_dtype: \"int64\"; only \"int32\""},
           {WithMember(kGptq, "rotation", "\"hadamard\""), "rotation: \"hadamard\""},
           {WithMember(kGptq, "adapter", R"({"name": "lora"})"), "adapter: an object"},
           {Edited(kAutoRound, "auto_round:auto_gptq", "auto_round:auto_awq"),
            "packing_format: \"auto_round:auto_awq\""},
           {Edited(kAutoRound, "\"int\"", "\"mx_fp\""), "data_type: \"mx_fp\"; only \"int\""},
           {WithMember(kAutoRound, "act_bits", "8"), "act_bits: 8"},
           {WithMember(kAutoRound, "super_bits", "6"), "super_bits: 6"},
           {WithMember(kAutoRound, "extra_config", R"({"a.b": {"bits": 8}})"), "extra_config: \"a.b\": bits: 8"},
           {WithMember(kGptq, "dynamic", R"({"+:a": {"bits": 8}})"), "dynamic: \"+:a\": bits: 8; only 4"},
           {WithMember(kGptq, "dynamic", R"({"a": {"group_size": 96}})"), "dynamic: \"a\": group_size: 96"},
           {"{}", "quant_method: is required and missing", invalid},
           {"[]", "expected an object, found an array", invalid},
           {Edited(kGptq, "\"bits\": 4,", ""), "bits: is required and missing", invalid},
           {Edited(kGptq, "\"sym\": true,", ""), "sym: is required and missing", invalid},
           {Edited(kGptq, "\"desc_act\": false", "\"x\": 0"), "desc_act: is required and missing", invalid},
           {Edited(kGptq, "\"group_size\": 128,", ""), "group_size: is required and missing", invalid},
           {Edited(kAutoRound, "\"packing_format\"", "\"x\""), "packing_format: is required and missing", invalid},
           {Edited(kGptq, "\"bits\": 4", "\"bits\": \"4\""), "bits: expected an integer, found \"4\"", invalid},
           {Edited(kGptq, "\"sym\": true", "\"sym\": 1"), "sym: expected true or false, found 1", invalid},
           {WithMember(WithMember(kGptq, "checkpoint_format", "\"gptq\""), "format", "\"gptq_v2\""),
            "checkpoint_format: \"gptq\" contradicts format \"gptq_v2\"", invalid},
           {WithMember(kGptq, "dynamic", "[]"), "dynamic: expected an object of rules", invalid},
           {WithMember(kGptq, "dynamic", R"({"-:a(": {}})"), "dynamic: \"-:a(\": \"a(\" is not a regular", invalid},
           {WithMember(kGptq, "dynamic", R"({"a": 3})"), "dynamic: \"a\": expected an object, found 3", invalid},
           {WithMember(kGptq, "modules_to_not_convert", R"("lm_head,mlp.gate")"),
            "modules_to_not_convert: expected a list of names, found \"lm_head", invalid},
           {WithMember(kGptq, "modules_in_block_to_quantize", R"("mlp")"),
            "modules_in_block_to_quantize: expected a list of names, found \"mlp\"", invalid},
           {WithMember(kGptq, "modules_to_not_convert", "[1]"), "modules_to_not_convert: expected a list", invalid},
           {WithMember(kGptq, "modules_to_not_convert", "[\"*\"]"), "modules_to_not_convert: \"*\" is not", invalid},
           {WithMember(kGptq, "modules_to_not_convert", "[\"\"]"), "modules_to_not_convert: an empty", invalid},
           {WithMember(kAutoRound, "extra_config", "[]"), "extra_config: expected an object", invalid},
           {WithMember(kAutoRound, "extra_config", R"({"a[": {"bits": 16}})"), "extra_config: \"a[\"", invalid},
       }) {
    const Status error = ErrorOf(c.text);
    EXPECT_EQ(error.code(), c.code) << c.text << ": " << error.message();
    EXPECT_EQ(error.message().rfind("quantization_config: " + c.expected, 0), 0U) << c.text << ": " << error.message();
  }
}

TEST(QuantizationConfig, DynamicRulesExcludeFirstThenTheFirstMatchDecides) {
  const QuantizationConfig config = Parsed(WithMember(kGptq, "dynamic", R"({
    "+:model\\.layers\\.1\\..*": {"group_size": 32, "sym": false, "desc_act": true},
    "model\\.layers\\.(1|2)\\.": {"group_size": 64},
    "-:model\\.layers\\.1\\.self_attn": {},
    "layers": {"group_size": -1}})"));
  EXPECT_EQ(config.ForModule("model.layers.1.mlp.up_proj"),
            (GptqParams{.bits = 4, .group_size = 32, .symmetric = false, .desc_act = true}));
  EXPECT_EQ(config.ForModule("model.layers.2.mlp.up_proj")->group_size, 64);
  EXPECT_EQ(config.ForModule("model.layers.1.self_attn.q_proj"), std::nullopt) << "exclusion wins over an earlier rule";
  EXPECT_EQ(config.ForModule("model.layers.3.mlp.up_proj")->group_size, 128) << "\"layers\" must match from the start";
}

TEST(QuantizationConfig, DynamicRulesHavePerlSyntax) {
  const QuantizationConfig config = Parsed(WithMember(kGptq, "dynamic", R"({"-:^(?!.*\\.experts\\.\\d+\\.).*$": {}})"));
  EXPECT_TRUE(config.ForModule(kExpert).has_value());
  EXPECT_EQ(config.ForModule("model.layers.0.mlp.shared_expert.up_proj"), std::nullopt);
}

TEST(QuantizationConfig, ARuleMadeToRunForEverIsAnError) {
  const QuantizationConfig config = Parsed(WithMember(kGptq, "dynamic", R"({"-:(([a-z_.0-9])+)+[!?]": {}})"));
  const Result<std::optional<GptqParams>> params = config.Evaluate("model.layers.0.linear_attn.in_proj_qkvz");
  ASSERT_FALSE(params.ok());
  EXPECT_EQ(params.status().code(), StatusCode::kResourceExhausted);
  EXPECT_NE(params.status().message().find("(([a-z_.0-9])+)+[!?]"), std::string::npos) << params.status().message();
  EXPECT_EQ(config.ForModule("model.layers.0.linear_attn.in_proj_qkvz"), std::nullopt);
}

TEST(QuantizationConfig, NameListsMatchWholeComponents) {
  const QuantizationConfig skip = Parsed(
      WithMember(kGptq, "modules_to_not_convert", R"(["mlp.gate", "model.layers.0", "lm_head", ".*\\.k_proj$"])"));
  EXPECT_EQ(skip.ForModule("model.layers.1.mlp.gate"), std::nullopt);
  EXPECT_TRUE(skip.ForModule("model.layers.1.mlp.gate_proj").has_value());
  EXPECT_EQ(skip.ForModule("model.layers.0.mlp.up_proj"), std::nullopt);
  EXPECT_TRUE(skip.ForModule("model.layers.01.mlp.up_proj").has_value());
  EXPECT_EQ(skip.ForModule("model.layers.3.self_attn.k_proj"), std::nullopt);
  EXPECT_TRUE(skip.ForModule("model.layers.3.self_attn.q_proj").has_value());

  const QuantizationConfig listed = Parsed(WithMember(
      kGptq, "modules_in_block_to_quantize", R"([["self_attn.q_proj", "self_attn.k_proj"], ["mlp.experts"]])"));
  EXPECT_TRUE(listed.ForModule("model.layers.3.self_attn.q_proj").has_value());
  EXPECT_EQ(listed.ForModule("model.layers.3.self_attn.v_proj"), std::nullopt);
  EXPECT_TRUE(listed.ForModule(kExpert).has_value());
  EXPECT_TRUE(listed.Names(kExpert));
  EXPECT_FALSE(listed.Names("model.layers.3.self_attn.v_proj"));
  EXPECT_FALSE(Parsed(kGptq).Names(kExpert)) << "covered by the defaults, not named";
  EXPECT_TRUE(Parsed(WithMember(kGptq, "modules_in_block_to_quantize", "[]")).ForModule(kExpert).has_value());
}

TEST(QuantizationConfig, AutoRoundExtraConfig) {
  const QuantizationConfig config = Parsed(WithMember(kAutoRound, "extra_config", R"({
    "model.layers.0.mlp.gate": {"bits": 16, "data_type": "float"},
    "model.layers.1.mlp.up_proj": {"group_size": 32, "sym": false},
    ".*shared_expert_gate.*": {"bits": 16},
    "model.layers.2.mlp.shared_expert_gate": {"bits": 4}})"));
  EXPECT_EQ(config.method(), "auto-round");
  EXPECT_EQ(config.format(), GptqFormat::kV1);
  EXPECT_EQ(config.ForModule("model.layers.0.mlp.gate"), std::nullopt);
  EXPECT_TRUE(config.ForModule("model.layers.0.mlp.gate_proj").has_value()) << "a plain name is exact";
  EXPECT_EQ(config.ForModule("model.layers.1.mlp.up_proj"),
            (GptqParams{.bits = 4, .group_size = 32, .symmetric = false, .desc_act = false}));
  EXPECT_TRUE(config.Names("model.layers.1.mlp.up_proj"));
  EXPECT_EQ(config.ForModule("model.layers.1.mlp.shared_expert_gate"), std::nullopt);
  EXPECT_TRUE(config.ForModule("model.layers.2.mlp.shared_expert_gate").has_value()) << "the exact name comes first";
  EXPECT_TRUE(Parsed(WithMember(kAutoRound, "extra_config", R"({"lm_head": {"bits": 4}})")).lm_head());
}

TEST(QuantizationConfig, OnlyTheNamedBlocksAreQuantized) {
  const QuantizationConfig config =
      Parsed(WithMember(kAutoRound, "block_name_to_quantize", R"("model.layers,model.more")"));
  EXPECT_TRUE(config.ForModule(kExpert).has_value());
  EXPECT_TRUE(config.ForModule("model.more.1.q_proj").has_value());
  EXPECT_EQ(config.ForModule("model.layersx.1.q_proj"), std::nullopt);
  EXPECT_EQ(config.ForModule("model.embed_tokens"), std::nullopt);
}

}  // namespace
}  // namespace qnext
