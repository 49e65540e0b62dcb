#include "cli/logits_input.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>

#include "cli/safetensors_writer.h"

namespace qnext {
namespace {

class LogitsInputTest : public ::testing::Test {
 protected:
  LogitsInputTest() {
    config_.num_layers = 3;
    config_.layer_is_moe = {true, false, true};
    config_.hidden_size = 2;
    config_.vocab_size = 100;
    config_.num_experts = 8;
    config_.num_experts_per_token = 2;
  }
  ~LogitsInputTest() override { std::remove(path_.c_str()); }

  void Write(const std::string& text) { std::ofstream(path_) << text; }
  Result<std::vector<int32_t>> Experts(const std::string& text) {
    Write(text);
    return ReadExperts(path_, config_, /*tokens=*/2);
  }

  ModelConfig config_;
  std::string path_ = ::testing::TempDir() + "qnext_logits_input_test";
};

TEST_F(LogitsInputTest, IdsFromText) {
  EXPECT_EQ(ParseIds("1,20,3", "--ids").value(), (std::vector<int32_t>{1, 20, 3}));
  for (const char* bad : {"", "1,", ",1", "1, 2", "x", "1.5", "99999999999"}) {
    EXPECT_EQ(ParseIds(bad, "--ids").status().message().rfind("--ids: ", 0), 0u) << bad;
  }
}

TEST_F(LogitsInputTest, IdsFromAFile) {
  Write("[1, 2, 3]");
  EXPECT_EQ(ReadIds(path_).value(), (std::vector<int32_t>{1, 2, 3}));
  for (const char* bad : {"", "{}", "[1, \"2\"]", "[1.5]", "[-1]", "[3000000000]"}) {
    Write(bad);
    EXPECT_EQ(ReadIds(path_).status().message().rfind(path_, 0), 0u) << bad;
  }
  EXPECT_FALSE(ReadIds("/no/such/file").ok());
}

TEST_F(LogitsInputTest, IdsMustBeInTheVocabulary) {
  EXPECT_TRUE(CheckIds({0, 99}, config_).ok());
  EXPECT_FALSE(CheckIds({}, config_).ok());
  EXPECT_EQ(CheckIds({100}, config_).message(), "ids: 100 is outside the vocabulary of 100");
}

TEST_F(LogitsInputTest, ExpertsHaveTheShapeOfTheModel) {
  EXPECT_EQ(Experts("[[[0,1],[2,3]],[[4,5],[6,7]]]").value(), (std::vector<int32_t>{0, 1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(Experts("[[[0,1],[2,3]]]").status().message(), path_ + ": must be an array of 2 MoE layers");
  EXPECT_EQ(Experts("[[[0,1]],[[4,5],[6,7]]]").status().message(), path_ + ": [0]: must be an array of 2 tokens");
  EXPECT_EQ(Experts("[[[0,1],[2]],[[4,5],[6,7]]]").status().message(),
            path_ + ": [0][1]: must be an array of 2 integers");
  EXPECT_EQ(Experts("[[[0,1],[2,3]],[[4,8],[6,7]]]").status().message(),
            path_ + ": [1][0]: must hold integers in [0, 8)");
}

TEST_F(LogitsInputTest, LayerInputsAreOneRowPerLayer) {
  std::vector<float> values(3 * 1 * 2);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  const auto bytes = std::as_bytes(std::span(values));
  ASSERT_TRUE(WriteSafetensors(path_, {{"layer_inputs", DType::kF32, {3, 1, 2}, bytes}}).ok());
  EXPECT_EQ(ReadLayerInputs(path_, config_, 1).value(), (std::vector<float>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(ReadLayerInputs(path_, config_, 2).status().message(),
            path_ + ": layer_inputs: must be F32 [3, 2, 2], not F32 [3, 1, 2]");
  ASSERT_TRUE(WriteSafetensors(path_, {{"other", DType::kF32, {3, 1, 2}, bytes}}).ok());
  EXPECT_EQ(ReadLayerInputs(path_, config_, 1).status().code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace qnext
