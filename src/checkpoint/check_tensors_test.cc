#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "checkpoint/tensor_list.h"
#include "checkpoint/testing.h"
#include "config/testing.h"

namespace qnext {
namespace {

// The 80B's proportions, made small: one linear and one full layer, two experts.
std::string SmallConfig(std::string_view quantization) {
  std::string text(kConfig80B);
  const std::vector<std::pair<std::string, std::string>> edits = {
      {"\"num_hidden_layers\": 48", "\"num_hidden_layers\": 2"},
      {"\"full_attention_interval\": 4", "\"full_attention_interval\": 2"},
      {"\"hidden_size\": 2048", "\"hidden_size\": 256"},
      {"\"vocab_size\": 151936", "\"vocab_size\": 512"},
      {"\"eos_token_id\": 151645", "\"eos_token_id\": 3"},
      {"\"num_experts\": 512", "\"num_experts\": 2"},
      {"\"num_experts_per_tok\": 10", "\"num_experts_per_tok\": 1"},
      {"\"moe_intermediate_size\": 512", "\"moe_intermediate_size\": 128"},
      {"\"shared_expert_intermediate_size\": 512", "\"shared_expert_intermediate_size\": 128"},
      {"\"num_attention_heads\": 16", "\"num_attention_heads\": 2"},
      {"\"num_key_value_heads\": 2", "\"num_key_value_heads\": 1"},
      {"\"linear_num_key_heads\": 16", "\"linear_num_key_heads\": 1"},
      {"\"linear_num_value_heads\": 32", "\"linear_num_value_heads\": 2"}};
  for (const auto& [from, to] : edits) text = Edited(text, from, to);
  return quantization.empty() ? text : WithMember(text, "quantization_config", quantization);
}

using Tensors = std::vector<TestTensor>;

TestTensor& At(Tensors& tensors, const std::string& name) {
  const auto found = std::find_if(tensors.begin(), tensors.end(), [&](const TestTensor& t) { return t.name == name; });
  QNEXT_CHECK(found != tensors.end(), "no such tensor to edit");
  return *found;
}

void Remove(Tensors& tensors, const std::string& name) {
  QNEXT_CHECK(std::erase_if(tensors, [&](const TestTensor& t) { return t.name == name; }) == 1, "nothing to remove");
}

// The GPTQ tensors of a module replaced by a plain weight.
void MakeDense(Tensors& tensors, const std::string& module, const Shape& shape) {
  std::erase_if(tensors, [&](const TestTensor& t) { return t.name.starts_with(module + "."); });
  tensors.push_back({module + ".weight", DType::kBF16, shape});
}

// What CheckTensors finds after `edit` has changed a checkpoint that is right for `quantization`.
std::vector<std::string> Problems(std::string_view quantization, const std::function<void(Tensors&)>& edit) {
  const std::string text = SmallConfig(quantization);
  const Result<ModelConfig> config = ParseModelConfig(text, "config.json");
  EXPECT_TRUE(config.ok()) << config.status().message();
  Tensors tensors = StoredTensors(*config);
  edit(tensors);
  const std::string folder = FreshFolder("check_tensors");
  WriteCheckpoint(folder, text, tensors, 1);
  const Result<Checkpoint> checkpoint = Checkpoint::Open(folder);
  EXPECT_TRUE(checkpoint.ok()) << checkpoint.status().message();
  if (!checkpoint.ok()) return {checkpoint.status().message()};
  return FindTensorProblems(*checkpoint, *config);
}

using Lines = std::vector<std::string>;
constexpr std::string_view kAll = kQuantizationAllLinears;
const std::string kUp = "model.layers.1.mlp.experts.1.up_proj";

TEST(CheckTensors, AcceptsTheKindsThatArePublished) {
  const auto nothing = [](Tensors&) {};
  EXPECT_EQ(Problems(kAll, nothing), Lines());
  EXPECT_EQ(Problems(kQuantizationExpertsOnly, nothing), Lines());
  EXPECT_EQ(Problems("", nothing), Lines()) << "no quantization at all";
  EXPECT_EQ(Problems(Edited(kAll, "\"group_size\": 128", "\"group_size\": -1"), nothing), Lines());
  EXPECT_EQ(Problems(Edited(kAll, "\"lm_head\": false", "\"lm_head\": true"), nothing), Lines());
}

TEST(CheckTensors, AcceptsWhatWritersDoDifferently) {
  EXPECT_EQ(
      Problems(kAll,
               [](Tensors& t) { std::erase_if(t, [](const TestTensor& x) { return x.name.ends_with(".g_idx"); }); }),
      Lines())
      << "g_idx is optional";
  EXPECT_EQ(Problems(kAll,
                     [](Tensors& t) {
                       for (TestTensor& x : t) {
                         if (x.name.ends_with(".scales")) x.dtype = DType::kBF16;
                         if (x.name.ends_with("A_log")) x.dtype = DType::kF32;
                         if (x.name.ends_with("norm.weight")) x.dtype = DType::kF16;
                       }
                     }),
            Lines());
  EXPECT_EQ(Problems(kAll,
                     [](Tensors& t) {
                       t.push_back({"mtp.fc.weight", DType::kBF16, {3, 5}});
                       t.push_back({"mtp.layers.0.mlp.experts.0.up_proj.qweight", DType::kI32, {3}});
                     }),
            Lines())
      << "the mtp head is not looked at";
  EXPECT_EQ(Problems(kAll,
                     [](Tensors& t) {
                       MakeDense(t, "model.layers.1.self_attn.q_proj", {1024, 256});
                       MakeDense(t, "model.layers.1.self_attn.k_proj", {256, 256});
                     }),
            Lines())
      << "a whole class left out without a rule";
}

TEST(CheckTensors, FindsEachKindOfProblem) {
  struct Case {
    std::function<void(Tensors&)> edit;
    Lines expected;
  };
  const std::string norm = "model.layers.0.input_layernorm.weight";
  for (const Case& c : std::vector<Case>{
           {[&](Tensors& t) { Remove(t, norm); }, {norm + ": missing, expected [256]"}},
           {[&](Tensors& t) { At(t, norm).shape = {255}; }, {norm + ": expected shape [256], found [255]"}},
           {[&](Tensors& t) { At(t, norm).dtype = DType::kI16; }, {norm + ": expected BF16, F16 or F32, found I16"}},
           {[&](Tensors& t) {
              At(t, "model.embed_tokens.weight").shape = {512, 128};
            },
            {"model.embed_tokens.weight: expected shape [512, 256], found [512, 128]"}},
           {[&](Tensors& t) {
              At(t, "model.layers.0.linear_attn.conv1d.weight").shape = {512, 4};
            },
            {"model.layers.0.linear_attn.conv1d.weight: expected shape [512, 1, 4], found [512, 4]"}},
           {[&](Tensors& t) { Remove(t, "lm_head.weight"); }, {"lm_head.weight: missing, expected [512, 256]"}},
           {[&](Tensors& t) { At(t, "model.layers.0.mlp.gate.weight").dtype = DType::kF8E4M3; },
            {"model.layers.0.mlp.gate.weight: expected BF16, F16 or F32, found F8_E4M3"}},
           {[&](Tensors& t) { Remove(t, kUp + ".qweight"); }, {kUp + ".qweight: missing, expected I32 [32, 128]"}},
           {[&](Tensors& t) { Remove(t, kUp + ".qzeros"); }, {kUp + ".qzeros: missing, expected I32 [2, 16]"}},
           {[&](Tensors& t) { Remove(t, kUp + ".scales"); }, {kUp + ".scales: missing, expected F16 or BF16 [2, 128]"}},
           {[&](Tensors& t) { At(t, kUp + ".scales").dtype = DType::kF32; },
            {kUp + ".scales: expected F16 or BF16, found F32"}},
           {[&](Tensors& t) { At(t, kUp + ".qweight").dtype = DType::kI64; },
            {kUp + ".qweight: expected I32, found I64"}},
           {[&](Tensors& t) {
              At(t, kUp + ".qweight").shape = {128, 32};
            },
            {kUp + ".qweight: expected shape [32, 128], found [128, 32]"}},
           {[&](Tensors& t) {
              At(t, kUp + ".scales").shape = {8, 128};
            },
            {kUp + ".scales: expected shape [2, 128], found [8, 128]"}},
           {[&](Tensors& t) { At(t, kUp + ".g_idx").shape = {128}; },
            {kUp + ".g_idx: expected shape [256], found [128]"}},
           {[&](Tensors& t) {
              t.push_back({kUp + ".weight", DType::kBF16, {128, 256}});
            },
            {kUp + ": stored twice, as .weight and as GPTQ tensors"}},
           {[&](Tensors& t) {
              t.push_back({kUp + ".bias", DType::kBF16, {128}});
            },
            {kUp + ".bias: unexpected tensor BF16 [128]; this architecture has no biases"}},
           {[&](Tensors& t) {
              t.push_back({"model.layers.2.x", DType::kF32, {1}});
            },
            {"model.layers.2.x: unexpected tensor F32 [1]"}},
           {[&](Tensors& t) {
              MakeDense(t, kUp, {128, 256});
            },
            {kUp + ": stored unquantized, while 3 others of mlp.experts.*.up_proj are quantized and no rule of the " +
             "configuration sets it apart"}},
           {[&](Tensors& t) {
              Remove(t, "model.layers.0.mlp.gate.weight");
              t.push_back({"model.layers.0.mlp.gate.qweight", DType::kI32, {32, 2}});
            },
            {"model.layers.0.mlp.gate: expected .weight [2, 256], found GPTQ tensors, though it is never quantized"}},
           {[&](Tensors& t) {
              Remove(t, "model.layers.0.linear_attn.in_proj_ba.weight");
              t.push_back({"model.layers.0.linear_attn.in_proj_ba.qweight", DType::kI32, {32, 4}});
            },
            {"model.layers.0.linear_attn.in_proj_ba: found GPTQ tensors, but the quantization configuration leaves it "
             "unquantized"}},
       }) {
    EXPECT_EQ(Problems(kAll, c.edit), c.expected);
  }
}

TEST(CheckTensors, HoldsTheStorageAgainstTheConfiguration) {
  // Quantized tensors under a configuration that says nothing of quantization.
  const std::string text = SmallConfig("");
  const Result<ModelConfig> plain = ParseModelConfig(text, "config.json");
  const Result<ModelConfig> quantized = ParseModelConfig(SmallConfig(kAll), "config.json");
  const std::string folder = FreshFolder("check_tensors_plain");
  WriteCheckpoint(folder, text, StoredTensors(*quantized), 1);
  const Result<Checkpoint> checkpoint = Checkpoint::Open(folder);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().message();
  const Lines problems = FindTensorProblems(*checkpoint, *plain);
  ASSERT_EQ(problems.size(), 24U);
  EXPECT_EQ(problems[0],
            "model.layers.0.linear_attn.in_proj_qkvz: found GPTQ tensors, but neither config.json nor "
            "quantize_config.json has a quantization");

  // The group size of the rule, not of the defaults.
  const std::string rule = Edited(kAll, "\"dynamic\": {", R"("dynamic": {"+:.*down_proj": {"group_size": 32}, )");
  EXPECT_EQ(Problems(rule, [](Tensors&) {}), Lines());
  const std::string down = "model.layers.0.mlp.experts.0.down_proj";
  EXPECT_EQ(Problems(rule,
                     [&](Tensors& t) {
                       At(t, down + ".scales").shape = {1, 256};
                     }),
            (Lines{down + ".scales: expected shape [4, 256], found [1, 256]"}));

  // desc_act reorders the inputs, so the order must be there.
  const std::string ordered = Edited(kAll, "\"desc_act\": false", "\"desc_act\": true");
  EXPECT_EQ(Problems(ordered, [](Tensors&) {}), Lines());
  EXPECT_EQ(Problems(ordered, [](Tensors& t) { Remove(t, kUp + ".g_idx"); }),
            (Lines{kUp + ".g_idx: missing, expected I32 [256] since desc_act is true"}));

  // A module that the configuration names must be quantized, even if its whole class is not.
  const std::string named = WithMember(kAll, "modules_in_block_to_quantize", R"(["self_attn.q_proj", "mlp.experts"])");
  EXPECT_EQ(
      Problems(named,
               [](Tensors& t) {
                 MakeDense(t, "model.layers.1.self_attn.q_proj", {1024, 256});
               }),
      (Lines{"model.layers.1.self_attn.q_proj: stored unquantized, but the quantization configuration names it as "
             "quantized"}));
}

TEST(CheckTensors, ARuleThatCannotBeTriedIsOneProblem) {
  const std::string rule = Edited(kAll, "\"dynamic\": {", R"("dynamic": {"-:(([a-z_.0-9])+)+[!?]": {}, )");
  const Lines problems = Problems(rule, [](Tensors& t) {
    // With the rule failing, what is stored was decided by the other rules.
    t = StoredTensors(*ParseModelConfig(SmallConfig(kAll), "config.json"));
  });
  ASSERT_EQ(problems.size(), 1U) << problems[1];
  EXPECT_EQ(problems[0].rfind("quantization configuration: the rule \"(([a-z_.0-9])+)+[!?]\" cannot be tried on", 0),
            0U)
      << problems[0];
}

TEST(CheckTensors, ModulesThatCannotBePackedAreNot) {
  const std::string narrow =
      Edited(SmallConfig(kAll), "\"moe_intermediate_size\": 128", "\"moe_intermediate_size\": 4");
  const Result<ModelConfig> config = ParseModelConfig(narrow, "config.json");
  ASSERT_TRUE(config.ok());
  const std::string folder = FreshFolder("check_tensors_narrow");
  WriteCheckpoint(folder, narrow, StoredTensors(*config), 1);
  const Result<Checkpoint> checkpoint = Checkpoint::Open(folder);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().message();
  const Lines problems = FindTensorProblems(*checkpoint, *config);
  ASSERT_EQ(problems.size(), 12U);
  EXPECT_EQ(problems[0],
            "model.layers.0.mlp.experts.0.gate_proj: [4, 256] cannot be packed eight to a word, yet GPTQ "
            "tensors are stored");
}

TEST(CheckTensors, OneErrorListsTheFirstTwentyAndCountsTheRest) {
  const std::string text = SmallConfig(kAll);
  const Result<ModelConfig> config = ParseModelConfig(text, "config.json");
  const std::string folder = FreshFolder("check_tensors_all");
  WriteCheckpoint(folder, text, {{"only", DType::kF32, {1}}}, 1);
  const Result<Checkpoint> checkpoint = Checkpoint::Open(folder);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().message();
  const Status status = CheckTensors(*checkpoint, *config);
  EXPECT_EQ(status.code(), StatusCode::kCorrupt);
  const std::string& message = status.message();
  EXPECT_EQ(message.rfind(folder + ": 43 problems with the tensors:\n  model.embed_tokens.weight: missing", 0), 0U)
      << message;
  EXPECT_EQ(std::count(message.begin(), message.end(), '\n'), 21) << message;
  EXPECT_TRUE(message.ends_with("\n  and 23 more (qnext inspect lists all of them)")) << message;
}

TEST(CheckTensors, AcceptsTheTinyCheckpoint) {
  const std::string folder = std::string(QNEXT_SOURCE_DIR) + "/models/tiny";
  const Result<ModelConfig> config = LoadModelConfig(folder);
  ASSERT_TRUE(config.ok()) << config.status().message();
  const Result<Checkpoint> checkpoint = Checkpoint::Open(folder);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().message();
  const Status status = CheckTensors(*checkpoint, *config);
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(StoredFormat(*checkpoint, "model.layers.0.mlp.experts.0.up_proj"), LinearFormat::kGptq);
  EXPECT_EQ(StoredFormat(*checkpoint, "model.layers.0.mlp.gate"), LinearFormat::kDense);
}

}  // namespace
}  // namespace qnext
