// Random mutations of valid texts: every one must come back as a value or a Status, never as a crash, a hang or an
// exception. The seed is fixed, so a failure repeats.
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "config/model_config.h"
#include "config/testing.h"

namespace qnext {
namespace {

std::string Mutated(const std::string& text, std::mt19937_64& random) {
  constexpr std::string_view kHandy = "{}[]\",:0123456789.-+eE\\ntfu*()?|^$\xff\x80";
  std::string mutated = text;
  const size_t edits = 1 + random() % 4;
  for (size_t i = 0; i < edits && !mutated.empty(); ++i) {
    const size_t at = random() % mutated.size();
    switch (random() % 4) {
      case 0:
        mutated[at] = static_cast<char>(random());
        break;
      case 1:
        mutated[at] = kHandy[random() % kHandy.size()];
        break;
      case 2:
        mutated.erase(at, 1 + random() % 8);
        break;
      default:
        mutated.insert(at, mutated.substr(random() % mutated.size(), random() % 16));
        break;
    }
  }
  return mutated;
}

TEST(ConfigFuzz, MutatedConfigurationsGiveAValueOrAStatus) {
  std::mt19937_64 random(20240607);
  const std::string quantization = WithMember(
      WithMember(kQuantizationExpertsOnly, "extra_config", R"({".*q_proj": {"bits": 16}, "a.b": {"bits": 4}})"),
      "modules_in_block_to_quantize", R"([["mlp.experts", ".*_proj$"]])");
  const std::string seed = WithMember(
      Edited(kConfig80B, "\"rope_scaling\": null",
             R"("rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 262144})"),
      "quantization_config", quantization);
  ASSERT_TRUE(ParseModelConfig(seed, "seed").ok()) << ParseModelConfig(seed, "seed").status().message();
  int accepted = 0;
  for (int i = 0; i < 20000; ++i) {
    const std::string text = Mutated(seed, random);
    const Result<ModelConfig> config = ParseModelConfig(text, "fuzz");
    if (!config.ok()) {
      ASSERT_EQ(config.status().message().rfind("fuzz: ", 0), 0U) << config.status().message();
      continue;
    }
    ++accepted;
    if (config->quantization.has_value()) (void)config->quantization->Evaluate("model.layers.0.mlp.experts.1.up_proj");
  }
  EXPECT_GT(accepted, 100) << "the mutations should leave some texts valid";
  EXPECT_LT(accepted, 19000) << "and break most";
}

TEST(ConfigFuzz, MutatedGenerationDefaultsGiveAValueOrAStatus) {
  std::mt19937_64 random(7);
  const std::string seed =
      R"({"temperature": 0.7, "top_p": 0.8, "top_k": 20, "do_sample": true, "eos_token_id": [1, 2]})";
  int accepted = 0;
  for (int i = 0; i < 20000; ++i) accepted += ParseGenerationDefaults(Mutated(seed, random), "fuzz").ok() ? 1 : 0;
  EXPECT_GT(accepted, 100);
  EXPECT_LT(accepted, 19000);
}

}  // namespace
}  // namespace qnext
