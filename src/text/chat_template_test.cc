// Whole chat templates: the tiny checkpoint's and Qwen3's, on conversations whose prompts are known.
#include "text/chat_template.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace qnext {
namespace {

using Json = nlohmann::ordered_json;

std::string ReadFile(const std::string& path) {
  std::ifstream in(std::string(QNEXT_SOURCE_DIR) + "/" + path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

ChatTemplate Load(const std::string& source) {
  Result<ChatTemplate> compiled = ChatTemplate::Compile(source);
  EXPECT_TRUE(compiled.ok()) << compiled.status().message();
  return std::move(compiled).value();
}

ChatTemplate TinyTemplate() {
  return Load(Json::parse(ReadFile("models/tiny/tokenizer_config.json"))["chat_template"].get<std::string>());
}

ChatTemplate Qwen3Template() { return Load(ReadFile("tests/text/templates/qwen3.jinja")); }

const Json kWeatherTool = Json::parse(R"({"type": "function", "function": {"name": "weather", "parameters":
    {"type": "object", "properties": {"city": {"type": "string", "description": "Köln & co"}}}}})");

TEST(ChatTemplate, TinyModel) {
  const ChatTemplate chat = TinyTemplate();
  EXPECT_EQ(
      chat.Render({{"messages", {{{"role", "user"}, {"content", "Hi"}}}}, {"add_generation_prompt", true}}).value(),
      "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
}

TEST(ChatTemplate, Qwen3WithToolsAndReasoning) {
  const Json variables = {{"messages",
                           {{{"role", "system"}, {"content", "Be brief."}},
                            {{"role", "user"}, {"content", "Weather?"}},
                            {{"role", "assistant"},
                             {"content", "<think>\nAsk the tool.\n</think>\n\nLooking."},
                             {"tool_calls",
                              {{{"type", "function"},
                                {"function", {{"name", "weather"}, {"arguments", {{"city", "Köln"}, {"days", 3}}}}}}}}},
                            {{"role", "tool"}, {"content", "sunny"}},
                            {{"role", "tool"}, {"content", "windy"}}}},
                          {"tools", {kWeatherTool}},
                          {"add_generation_prompt", true},
                          {"enable_thinking", false}};
  EXPECT_EQ(Qwen3Template().Render(variables).value(), R"(<|im_start|>system
Be brief.

# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string", "description": "Köln & co"}}}}}
</tools>

For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
<tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call><|im_end|>
<|im_start|>user
Weather?<|im_end|>
<|im_start|>assistant
<think>
Ask the tool.
</think>

Looking.
<tool_call>
{"name": "weather", "arguments": {"city": "Köln", "days": 3}}
</tool_call><|im_end|>
<|im_start|>user
<tool_response>
sunny
</tool_response>
<tool_response>
windy
</tool_response><|im_end|>
<|im_start|>assistant
<think>

</think>

)");
}

TEST(ChatTemplate, AllTemplatesOfTheComparisonCompile) {
  const Json cases = Json::parse(ReadFile("tests/text/templates/cases.json"));
  int compiled = 0;
  for (const auto& [name, contexts] : cases.items()) {
    if (name == "models/tiny") continue;
    const Result<ChatTemplate> result = ChatTemplate::Compile(ReadFile("tests/text/templates/" + name));
    EXPECT_TRUE(result.ok()) << name << ": " << result.status().message();
    ++compiled;
  }
  EXPECT_GE(compiled, 10);
}

TEST(ChatTemplate, OneTemplateServesManyThreads) {
  const ChatTemplate chat = Qwen3Template();
  const auto prompt = [&chat](int thread) {
    Json messages = Json::array();
    for (int i = 0; i <= thread; ++i) messages.push_back({{"role", "user"}, {"content", "turn " + std::to_string(i)}});
    return chat.Render({{"messages", messages}, {"tools", {kWeatherTool}}}).value();
  };
  const std::vector<std::string> alone = {prompt(0), prompt(1), prompt(2), prompt(3)};
  std::vector<std::string> together(4);
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&together, &prompt, t] {
      for (int round = 0; round < 20; ++round) together[static_cast<size_t>(t)] = prompt(t);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(together, alone);
}

TEST(ChatTemplate, MovesKeepTheTemplate) {
  ChatTemplate first = Load("{{ 1 }}");
  ChatTemplate second = std::move(first);
  first = Load("{{ 2 }}");
  EXPECT_EQ(second.Render(Json::object()).value() + first.Render(Json::object()).value(), "12");
}

}  // namespace
}  // namespace qnext
