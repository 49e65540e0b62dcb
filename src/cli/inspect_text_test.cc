#include "cli/inspect_text.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "cli/testing.h"
#include "engine/testing.h"

namespace qnext {
namespace {

// A copy of the tiny checkpoint's small files, spoiled by each test.
class InspectTextTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "qnext_inspect_text_test";
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    for (const auto& entry : std::filesystem::directory_iterator(TinyFolder())) {
      if (entry.file_size() < (1 << 20)) std::filesystem::copy(entry.path(), folder_);
    }
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void Change(const std::string& name, const std::function<void(nlohmann::json&)>& change) {
    const std::string path = folder_ + "/" + name;
    nlohmann::json json = nlohmann::json::parse(ReadFileToString(path).value());
    change(json);
    std::ofstream(path) << json;
  }
  InspectReport Report() {
    InspectReport report;
    report.config = LoadModelConfig(folder_).value();
    InspectText(folder_, report);
    return report;
  }

  std::string folder_;
};

TEST_F(InspectTextTest, NothingIsWrongWithTheTinyCheckpoint) {
  const InspectReport report = Report();
  EXPECT_TRUE(report.problems.empty());
  EXPECT_TRUE(report.warnings.empty());
  ASSERT_TRUE(report.text.has_value());
  EXPECT_EQ(report.text->tokens, 4122);
  EXPECT_EQ(report.text->chat_template.rfind(folder_ + "/", 0), 0u) << report.text->chat_template;
  EXPECT_NE(FormatInspectText(report).find("tokenizer     4122 tokens; chat template: " + folder_), std::string::npos);
}

TEST_F(InspectTextTest, WhatKeepsItFromLoadingIsAProblem) {
  Change("config.json", [](nlohmann::json& config) { config["vocab_size"] = 4110; });
  EXPECT_EQ(Report().problems,
            std::vector<std::string>{
                "vocabulary mismatch: the tokenizer has ids up to 4121, config.json a vocab_size of 4110"});
  std::filesystem::remove(folder_ + "/tokenizer.json");
  const InspectReport report = Report();
  ASSERT_EQ(report.problems.size(), 1u);
  EXPECT_EQ(report.problems[0].rfind(folder_ + "/tokenizer.json: ", 0), 0u);
  EXPECT_FALSE(report.text.has_value());
}

TEST_F(InspectTextTest, AnEosOutsideTheVocabularyIsAProblem) {
  Change("generation_config.json", [](nlohmann::json& config) { config["eos_token_id"] = 4150; });
  EXPECT_EQ(Report().problems, std::vector<std::string>{"eos_token_id: 4150 is outside the vocabulary of 4122 tokens"});
}

TEST_F(InspectTextTest, ATemplateThatCannotBeRenderedIsNamedWithItsReason) {
  std::ofstream(folder_ + "/chat_template.jinja") << "{% if %}";
  InspectReport report = Report();
  ASSERT_EQ(report.warnings.size(), 1u);
  EXPECT_EQ(report.warnings[0].rfind("chat: " + folder_ + "/chat_template.jinja: ", 0), 0u) << report.warnings[0];
  EXPECT_NE(report.warnings[0].find("; using the built-in ChatML template"), std::string::npos);
  EXPECT_EQ(report.text->chat_template, "built-in ChatML");

  std::ofstream(folder_ + "/chat_template.jinja")
      << "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system messages') }}{% endif %}"
         "{{ m.content }}{% endfor %}";
  report = Report();
  ASSERT_EQ(report.warnings.size(), 1u);
  EXPECT_EQ(report.warnings[0].rfind(
                folder_ + "/chat_template.jinja: cannot render a question after a system message: line ", 0),
            0u)
      << report.warnings[0];
  EXPECT_NE(report.warnings[0].find("no system messages"), std::string::npos);
}

TEST_F(InspectTextTest, ATemplateThatIgnoresTheMessagesIsNamed) {
  std::ofstream(folder_ + "/chat_template.jinja") << "Hello!";
  EXPECT_EQ(Report().warnings, std::vector<std::string>{"chat: " + folder_ +
                                                        "/chat_template.jinja: the template ignores the messages: it "
                                                        "renders the same text whatever is asked"});
}

TEST_F(InspectTextTest, TheCommandSaysIt) {
  const Outcome good = RunQnext({"inspect", "--model", TinyFolder(), "--json"});
  EXPECT_EQ(good.exit_code, kExitDone) << good.error;
  EXPECT_EQ(nlohmann::json::parse(good.out)["text"]["tokens"], 4122);
  Change("generation_config.json", [](nlohmann::json& config) { config["eos_token_id"] = 4150; });
  const Outcome bad = RunQnext({"inspect", "--model", folder_});
  EXPECT_EQ(bad.exit_code, kExitFailed);
  EXPECT_NE(bad.out.find("  eos_token_id: 4150 is outside the vocabulary of 4122 tokens\n"), std::string::npos);
}

}  // namespace
}  // namespace qnext
