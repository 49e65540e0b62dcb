#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "config/model_config.h"

namespace qnext {
namespace {

TEST(GenerationDefaults, ReadsWhatIsSetAndLeavesTheRestAbsent) {
  const Result<GenerationDefaults> all = ParseGenerationDefaults(
      R"({"temperature": 0.7, "top_p": 0.8, "top_k": 20, "min_p": 0, "repetition_penalty": 1.05, "do_sample": true,
          "eos_token_id": [151645, 151643], "bos_token_id": 151643, "transformers_version": "4.57"})",
      "g");
  ASSERT_TRUE(all.ok()) << all.status().message();
  EXPECT_EQ(all->temperature, 0.7);
  EXPECT_EQ(all->top_p, 0.8);
  EXPECT_EQ(all->top_k, 20);
  EXPECT_EQ(all->min_p, 0.0);
  EXPECT_EQ(all->repetition_penalty, 1.05);
  EXPECT_EQ(all->do_sample, true);
  EXPECT_EQ(all->eos_token_ids, (std::vector<int64_t>{151645, 151643}));

  const Result<GenerationDefaults> none = ParseGenerationDefaults(R"({"temperature": null, "eos_token_id": 7})", "g");
  ASSERT_TRUE(none.ok()) << none.status().message();
  EXPECT_FALSE(none->temperature.has_value());
  EXPECT_FALSE(none->top_k.has_value());
  EXPECT_FALSE(none->do_sample.has_value());
  EXPECT_EQ(none->eos_token_ids, std::vector<int64_t>{7});
}

TEST(GenerationDefaults, NamesTheFieldThatIsWrong) {
  const auto error = [](const std::string& text) { return ParseGenerationDefaults(text, "g").status().message(); };
  EXPECT_EQ(error(R"({"temperature": -1})"), "g: temperature: -1 is outside 0 .. 2");
  EXPECT_EQ(error(R"({"top_p": 1.5})"), "g: top_p: 1.5 is outside 0 .. 1");
  EXPECT_EQ(error(R"({"top_k": 1.5})"), "g: top_k: expected an integer, found 1.5");
  EXPECT_EQ(error(R"({"do_sample": "yes"})"), "g: do_sample: expected true or false, found \"yes\"");
  EXPECT_EQ(error(R"({"eos_token_id": -1})"), "g: eos_token_id: -1 is outside 0 .. 2147483647");
  EXPECT_EQ(error("[]"), "g: expected an object, found an array");
}

TEST(GenerationDefaults, AnAbsentFileSetsNothing) {
  const Result<GenerationDefaults> none = LoadGenerationDefaults("/no/such/folder");
  ASSERT_TRUE(none.ok());
  EXPECT_FALSE(none->temperature.has_value());
  EXPECT_TRUE(none->eos_token_ids.empty());
}

TEST(GenerationDefaults, ReadsTheTinyCheckpoints) {
  const Result<GenerationDefaults> tiny = LoadGenerationDefaults(std::string(QNEXT_SOURCE_DIR) + "/models/tiny");
  ASSERT_TRUE(tiny.ok()) << tiny.status().message();
  EXPECT_EQ(tiny->top_k, 20);
  EXPECT_EQ(tiny->temperature, 0.7);
}

}  // namespace
}  // namespace qnext
