#include "config/rope_config.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "config/testing.h"

namespace qnext {
namespace {

constexpr std::string_view kNoRope = "\"rope_scaling\": null,";

Result<ModelConfig> WithScaling(const std::string& scaling) {
  return ParseModelConfig(Edited(kConfig80B, kNoRope, "\"rope_scaling\": " + scaling + ","), "config.json");
}

// The newer spelling: everything inside rope_parameters.
Result<ModelConfig> WithParameters(const std::string& parameters) {
  std::string text = Edited(kConfig80B, kNoRope, "\"rope_parameters\": " + parameters + ",");
  text = Edited(text, "\"rope_theta\": 10000000,", "");
  text = Edited(text, "\"partial_rotary_factor\": 0.25,", "");
  return ParseModelConfig(text, "config.json");
}

TEST(RopeConfig, BothSpellingsSayTheSame) {
  const Result<ModelConfig> config =
      WithParameters(R"({"rope_theta": 10000000.0, "partial_rotary_factor": 0.25, "rope_type": "default"})");
  ASSERT_TRUE(config.ok()) << config.status().message();
  EXPECT_EQ(config->rope_theta, 1e7);
  EXPECT_EQ(config->rotary_dims, 64);
  EXPECT_FALSE(config->yarn.has_value());
  EXPECT_TRUE(WithScaling("{}").ok());
  EXPECT_TRUE(WithScaling(R"({"type": "default"})").ok());
  EXPECT_TRUE(WithScaling(R"({"rope_type": "default", "type": "default", "rope_theta": 10000000})").ok());
}

TEST(RopeConfig, YarnWithItsDefaults) {
  const Result<ModelConfig> config =
      WithScaling(R"({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 262144})");
  ASSERT_TRUE(config.ok()) << config.status().message();
  ASSERT_TRUE(config->yarn.has_value());
  EXPECT_EQ(config->yarn->factor, 4.0);
  EXPECT_EQ(config->yarn->original_max_position_embeddings, 262144);
  EXPECT_EQ(config->yarn->beta_fast, 32);
  EXPECT_EQ(config->yarn->beta_slow, 1);
  EXPECT_DOUBLE_EQ(config->yarn->attention_factor, 0.1 * std::log(4.0) + 1);
  EXPECT_EQ(config->rope_theta, 1e7);
}

TEST(RopeConfig, YarnWithEveryField) {
  const Result<ModelConfig> config = WithParameters(
      R"({"rope_type": "yarn", "factor": 2, "original_max_position_embeddings": 1024, "beta_fast": 16, "beta_slow": 2,
          "attention_factor": 1.25, "truncate": true, "rope_theta": 10000, "partial_rotary_factor": 0.5})");
  ASSERT_TRUE(config.ok()) << config.status().message();
  EXPECT_EQ(config->yarn->beta_fast, 16);
  EXPECT_EQ(config->yarn->beta_slow, 2);
  EXPECT_EQ(config->yarn->attention_factor, 1.25);
  EXPECT_EQ(config->rope_theta, 10000);
  EXPECT_EQ(config->rotary_dims, 128);
}

TEST(RopeConfig, RefusesWhatItWouldNotCompute) {
  const std::string yarn = R"("rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 1024)";
  const auto error = [](const Result<ModelConfig>& config) { return config.ok() ? "" : config.status().message(); };
  EXPECT_EQ(error(WithScaling(R"({"type": "linear", "factor": 2})")),
            "config.json: rope_scaling: rope_type: \"linear\" is not one of \"default\", \"yarn\"");
  EXPECT_EQ(WithScaling(R"({"rope_type": "llama3"})").status().code(), StatusCode::kUnsupported);
  EXPECT_EQ(error(WithScaling("{" + yarn + R"(, "mscale": 0.7})")),
            "config.json: rope_scaling: mscale: is not understood for rope type \"yarn\"");
  EXPECT_EQ(error(WithScaling(R"({"rope_type": "default", "factor": 4})")),
            "config.json: rope_scaling: factor: is not understood for rope type \"default\"");
  EXPECT_EQ(error(WithScaling("{" + yarn + R"(, "truncate": false})")),
            "config.json: rope_scaling: truncate: only true is supported");
  EXPECT_EQ(error(WithScaling(R"({"factor": 4})")), "config.json: rope_scaling: rope_type: is required and missing");
  EXPECT_EQ(error(WithScaling(R"({"rope_type": "yarn", "type": "linear", "factor": 4})")),
            "config.json: rope_scaling: type: \"linear\" contradicts rope_type \"yarn\"");
  EXPECT_EQ(error(WithScaling(R"({"rope_type": "yarn", "original_max_position_embeddings": 1024})")),
            "config.json: rope_scaling: factor: is required and missing");
  EXPECT_EQ(error(WithScaling(R"({"rope_type": "yarn", "factor": 4})")),
            "config.json: rope_scaling: original_max_position_embeddings: is required and missing");
  EXPECT_NE(error(WithScaling(R"({"rope_type": "yarn", "factor": 0.5, "original_max_position_embeddings": 9})"))
                .find("factor: 0.5 is outside"),
            std::string::npos);
  EXPECT_NE(error(WithScaling("{" + yarn + R"(, "beta_fast": 1, "beta_slow": 2})")).find("beta_fast: 1 is below"),
            std::string::npos);
  EXPECT_EQ(error(WithScaling("\"yarn\"")), "config.json: rope_scaling: expected an object, found \"yarn\"");
  EXPECT_EQ(error(WithScaling(R"({"rope_type": "default", "rope_theta": 5})")),
            "config.json: rope_scaling: rope_theta: 5 contradicts 10000000 outside");
  EXPECT_EQ(error(WithScaling(R"({"type": "default"}, "rope_parameters": {"rope_type": "default"})")),
            "config.json: rope_scaling: is given next to rope_parameters; only one of them can hold");
}

TEST(RopeConfig, RotaryDimensionsAreAPositiveEvenNumber) {
  for (const std::string fraction : {"0", "0.001", "0.01171875", "0.3"}) {
    const Result<ModelConfig> config = ParseModelConfig(
        Edited(kConfig80B, "\"partial_rotary_factor\": 0.25", "\"partial_rotary_factor\": " + fraction), "config.json");
    ASSERT_FALSE(config.ok()) << fraction;
    EXPECT_EQ(config.status().message().rfind("config.json: partial_rotary_factor: ", 0), 0U)
        << config.status().message();
  }
  EXPECT_FALSE(
      ParseModelConfig(Edited(kConfig80B, "\"partial_rotary_factor\": 0.25", "\"partial_rotary_factor\": 1.5"), "c")
          .ok());
  EXPECT_EQ(ParseModelConfig(Edited(kConfig80B, "\"partial_rotary_factor\": 0.25", "\"partial_rotary_factor\": 1"), "c")
                ->rotary_dims,
            256);
}

}  // namespace
}  // namespace qnext
