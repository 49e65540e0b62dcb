// qnext eval on the bundled tiny checkpoint. tests/model/test_eval.py holds the figures against the numpy oracle.
#include "cli/eval_run.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "cli/testing.h"
#include "engine/testing.h"

namespace qnext {
namespace {

using Json = nlohmann::json;

class EvalTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "qnext_eval_test";
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_ + "/temp");
    std::ofstream(folder_ + "/text") << "In the beginning God created the heaven and the earth. And the earth was "
                                        "without form, and void; and darkness was upon the face of the deep. And the "
                                        "Spirit of God moved upon the face of the waters. And God said, Let there be "
                                        "light: and there was light.";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  Outcome Eval(std::vector<std::string> more) const {
    std::vector<std::string> arguments = {"eval", "--model", TinyFolder(),     "--device",
                                          "cpu",  "--text",  folder_ + "/text"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return RunQnext(arguments);
  }

  std::string folder_;
};

TEST_F(EvalTest, AConfigurationAgainstItselfIsExactlyNothingApart) {
  const Outcome outcome =
      Eval({"--json", "--ctx", "64", "--against", "--threads 1", "--threads", "1", "--temp", folder_ + "/temp"});
  ASSERT_EQ(outcome.exit_code, kExitDone) << outcome.error;
  const Json json = Json::parse(outcome.out);
  EXPECT_EQ(json["comparison"]["kl"]["mean"], 0);
  EXPECT_EQ(json["comparison"]["kl"]["max"], 0);
  EXPECT_EQ(json["comparison"]["top1_agreement"]["mean"], 1);
  EXPECT_EQ(json["comparison"]["top5_agreement"]["mean"], 1);
  EXPECT_EQ(json["comparison"]["nll_difference"]["mean"], 0);
  EXPECT_EQ(json["windows"]["tokens"], 64);
  EXPECT_EQ(json["windows"]["stride"], 32);
  EXPECT_GT(json["windows"]["count"], 1);
  EXPECT_GT(json["first"]["tokens_run"], json["text"]["tokens"]);
  EXPECT_GT(json["first"]["tokens_per_second"], 0);
  EXPECT_TRUE(std::filesystem::is_empty(folder_ + "/temp"));
}

TEST_F(EvalTest, TextForPeople) {
  const Outcome outcome = Eval({"--tokens", "40"});
  ASSERT_EQ(outcome.exit_code, kExitDone) << outcome.error;
  EXPECT_NE(outcome.out.find(": 40 tokens (the file has more), 1 windows of at most 2048 tokens, stride 1024"),
            std::string::npos)
      << outcome.out;
  EXPECT_NE(outcome.out.find("(standard error not known: too short a text)"), std::string::npos) << outcome.out;
}

TEST_F(EvalTest, WhatCannotBeDoneIsSaid) {
  const Outcome limit = Eval({"--against", "--kv fp8", "--temp", folder_ + "/temp", "--temp-limit", "100kB"});
  EXPECT_EQ(limit.exit_code, kExitFailed);
  EXPECT_NE(limit.error.find("the limit is 97.7 KiB: 6 places fit; see --tokens, --temp and --temp-limit"),
            std::string::npos)
      << limit.error;
  const Outcome nowhere = Eval({"--against", "--kv fp8", "--temp", "/nonexistent"});
  EXPECT_EQ(nowhere.exit_code, kExitFailed);
  EXPECT_NE(nowhere.error.find("/nonexistent: "), std::string::npos) << nowhere.error;
  std::ofstream(folder_ + "/text") << "a";
  const Outcome nothing = Eval({});
  EXPECT_EQ(nothing.exit_code, kExitFailed);
  EXPECT_NE(nothing.error.find("at least 2 tokens are needed, and it has 1"), std::string::npos) << nothing.error;
}

}  // namespace
}  // namespace qnext
