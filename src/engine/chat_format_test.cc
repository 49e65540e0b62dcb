#include "engine/chat_format.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "engine/testing.h"

namespace qnext {
namespace {

// A folder that holds nothing but what a test writes into it.
class ChatFormatTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "qnext_chat_format_test";
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void Write(const std::string& name, const std::string& text) { std::ofstream(folder_ + "/" + name) << text; }
  Result<ChatFormat> Load(const std::string& override_path = "") {
    return ChatFormat::Load(folder_, override_path, tokenizer_);
  }
  std::string Hello(const ChatFormat& format) { return format.Render({{.role = "user", .content = "hello"}}).value(); }

  std::string folder_;
  Tokenizer tokenizer_ = TinyTokenizer();
};

constexpr char kChatMlHello[] = "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n";

TEST_F(ChatFormatTest, TheTinyCheckpointHasItsOwn) {
  const Result<ChatFormat> format = ChatFormat::Load(TinyFolder(), "", tokenizer_);
  ASSERT_TRUE(format.ok()) << format.status().message();
  EXPECT_EQ(format->warning(), "");
  EXPECT_EQ(format->source(), TinyFolder() + "/tokenizer_config.json");
  EXPECT_FALSE(format->end_id().has_value());
  EXPECT_EQ(Hello(*format), kChatMlHello);
  EXPECT_EQ(format
                ->Render({{.role = "system", .content = "Be brief."},
                          {.role = "user", .content = "a"},
                          {.role = "assistant", .content = "b"},
                          {.role = "user", .content = "c"}})
                .value(),
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>"
            "\n<|im_start|>user\nc<|im_end|>\n<|im_start|>assistant\n");
}

TEST_F(ChatFormatTest, SpecialTokensAreStringsOrObjects) {
  Write("tokenizer_config.json",
        R"({"bos_token": "<s>", "eos_token": {"content": "</s>"}, "pad_token": null,
            "chat_template": "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}{{ pad_token is defined }}"})");
  EXPECT_EQ(Hello(Load().value()), "<s>hello</s>False");
}

TEST_F(ChatFormatTest, AListOfTemplatesHasADefault) {
  Write("tokenizer_config.json",
        R"({"chat_template": [{"name": "tool_use", "template": "x"}, {"name": "default", "template": "y"}]})");
  EXPECT_EQ(Hello(Load().value()), "y");
  Write("tokenizer_config.json", R"({"chat_template": [{"name": "tool_use", "template": "x"}]})");
  EXPECT_EQ(Load().status().message(),
            folder_ + "/tokenizer_config.json: chat_template: the list has no entry named \"default\"");
}

TEST_F(ChatFormatTest, AFileOfItsOwnWinsAndTheOverrideWinsOverAll) {
  Write("tokenizer_config.json", R"({"chat_template": "config"})");
  EXPECT_EQ(Hello(Load().value()), "config");
  Write("chat_template.jinja", "file");
  EXPECT_EQ(Hello(Load().value()), "file");
  Write("mine.jinja", "override");
  EXPECT_EQ(Hello(Load(folder_ + "/mine.jinja").value()), "override");
}

TEST_F(ChatFormatTest, WithoutATemplateTheBuiltInOneWarns) {
  const Result<ChatFormat> format = Load();
  ASSERT_TRUE(format.ok());
  EXPECT_EQ(format->warning(), folder_ + ": the checkpoint has no chat template; using the built-in ChatML template");
  EXPECT_EQ(format->source(), "built-in ChatML");
  EXPECT_EQ(format->end_id(), kTinyMessageEnd);
  EXPECT_EQ(Hello(*format), kChatMlHello);
}

TEST_F(ChatFormatTest, ATemplateThatCannotBeRenderedIsReplacedWithAWarningThatNamesTheReason) {
  Write("chat_template.jinja", "{{ messages | no_such_filter }}");
  const Result<ChatFormat> format = Load();
  ASSERT_TRUE(format.ok());
  EXPECT_NE(format->warning().find("chat_template.jinja"), std::string::npos);
  EXPECT_NE(format->warning().find("no_such_filter"), std::string::npos) << format->warning();
  EXPECT_EQ(Hello(*format), kChatMlHello);
}

TEST_F(ChatFormatTest, AnOverrideThatCannotBeRenderedIsAnError) {
  Write("tokenizer_config.json", R"({"chat_template": "config"})");
  Write("mine.jinja", "{{ messages | no_such_filter }}");
  const Result<ChatFormat> format = Load(folder_ + "/mine.jinja");
  EXPECT_EQ(format.status().code(), StatusCode::kUnsupported);
  EXPECT_EQ(format.status().message().rfind(folder_ + "/mine.jinja: ", 0), 0u) << format.status().message();
  EXPECT_EQ(Load(folder_ + "/absent.jinja").status().code(), StatusCode::kNotFound);
}

TEST_F(ChatFormatTest, WithoutChatMlTokensThereIsNoReplacement) {
  nlohmann::json json = nlohmann::json::parse(ReadFileToString(TinyFolder() + "/tokenizer.json").value());
  for (nlohmann::json& token : json["added_tokens"]) {
    if (token["content"] == "<|im_start|>") token["content"] = "<|other|>";
  }
  const Result<Tokenizer> plain = Tokenizer::Parse(json.dump(), "plain");
  ASSERT_TRUE(plain.ok()) << plain.status().message();
  const Result<ChatFormat> format = ChatFormat::Load(folder_, "", *plain);
  EXPECT_EQ(format.status().message(),
            folder_ + ": the checkpoint has no chat template; name a template with --chat-template");
}

TEST_F(ChatFormatTest, ABrokenConfigIsCorrupt) {
  Write("tokenizer_config.json", "{");
  EXPECT_EQ(Load().status().message().find(folder_ + "/tokenizer_config.json: not valid JSON at byte "), 0u);
  Write("tokenizer_config.json", "[]");
  EXPECT_EQ(Load().status().message(), folder_ + "/tokenizer_config.json: is not a JSON object");
  Write("tokenizer_config.json", R"({"chat_template": "a", "chat_template": "b"})");
  EXPECT_EQ(Load().status().message(),
            folder_ + "/tokenizer_config.json: the key \"chat_template\" occurs twice in one object");
  Write("tokenizer_config.json", R"({"chat_template": 5})");
  EXPECT_EQ(Load().status().code(), StatusCode::kCorrupt);
}

TEST_F(ChatFormatTest, ATemplateThatRendersNothingIsWarnedOfAndNamesItself) {
  const std::string path = folder_ + "/chat_template.jinja";
  for (const auto& [text, reason] :
       {std::pair("", "the template renders these messages to nothing"), std::pair("{{ 'a' + 1 }}", "line 1: "),
        std::pair("\n{{ raise_exception('never') }}", "line 2: never")}) {
    Write("chat_template.jinja", text);
    const Result<ChatFormat> format = Load();
    ASSERT_TRUE(format.ok()) << format.status().message();
    const std::string message = format->Render({{.role = "user", .content = "Hello"}}).status().message();
    EXPECT_EQ(message.find(path + ": " + reason), 0u) << message;
    EXPECT_EQ(format->warning(), message + " (it renders no plain question)");
  }
  // One that needs a system message, or refuses it, is none of these.
  Write("chat_template.jinja",
        "{% if messages[0].role != 'system' %}{{ raise_exception('no') }}{% endif %}{{ messages[-1].content }}");
  EXPECT_EQ(Load()->warning(), "");
  Write("chat_template.jinja",
        "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}{{ messages[-1].content }}");
  EXPECT_EQ(Load()->warning(), "");
}

TEST_F(ChatFormatTest, ATemplateThatIgnoresTheMessagesIsWarnedOf) {
  const std::string needs_system = "{% if messages[0].role != 'system' %}{{ raise_exception('no system') }}{% endif %}";
  for (const std::string& before : {std::string(), needs_system}) {
    Write("chat_template.jinja", before + "{{ bos_token }}Hello{% for m in messages %}{{ m.role }}{% endfor %}");
    EXPECT_EQ(
        Load().value().warning(),
        folder_ +
            "/chat_template.jinja: the template ignores the messages: it renders the same text whatever is asked");
    Write("chat_template.jinja", before + "{{ messages[-1].content }}");
    EXPECT_EQ(Load().value().warning(), "");
  }
}

TEST_F(ChatFormatTest, ALinkToNothingIsNoAbsentFile) {
  for (const std::string name : {"chat_template.jinja", "tokenizer_config.json"}) {
    const std::string path = folder_ + "/" + name;
    std::filesystem::create_symlink("nowhere", path);
    EXPECT_EQ(Load().status().message(), path + ": is a link that cannot be followed: No such file or directory");
    std::filesystem::remove(path);
  }
}

TEST_F(ChatFormatTest, TheBuiltInTemplateRefusesTools) {
  const nlohmann::ordered_json messages = {{{"role", "user"}, {"content", "a"}}};
  const Result<std::string> text = Load()->Render(messages, {{"tools", {{{"name", "f"}}}}});
  EXPECT_EQ(text.status().code(), StatusCode::kInvalidArgument);
  EXPECT_NE(text.status().message().find("tools"), std::string::npos);
}

}  // namespace
}  // namespace qnext
