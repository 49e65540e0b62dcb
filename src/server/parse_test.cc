// The bodies of all endpoints: what is read from good ones, and which field bad ones are refused for.
#include <gtest/gtest.h>

#include <iterator>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/chat_messages.h"
#include "server/chat_parse.h"
#include "server/completions_parse.h"
#include "server/field_reader.h"
#include "server/json_text.h"
#include "server/plain_parse.h"

namespace qnext::server {
namespace {

constexpr const char* kHello = R"("messages":[{"role":"user","content":"Hello"}])";

std::string ChatBody(const std::string& more) {
  return std::string("{") + kHello + (more.empty() ? "" : ",") + more + "}";
}

TEST(ChatParse, ReadsEveryField) {
  auto parsed = ParseChatRequest(ChatBody(R"("model":"m","temperature":0.5,"top_p":0.9,"top_k":20,"min_p":0.05,
      "presence_penalty":-1,"frequency_penalty":1.5,"repetition_penalty":1.1,"logit_bias":{"7":-100,"3":2.5},
      "seed":-5,"stop":["a","b"],"n":3,"stream":true,"stream_options":{"include_usage":true},"max_tokens":9,
      "logprobs":true,"top_logprobs":4,"ignore_eos":true,"chat_template_kwargs":{"enable_thinking":false})"),
                                 {});
  ASSERT_TRUE(parsed.ok()) << parsed.error().message;
  const GenerationFields& fields = parsed->common;
  EXPECT_EQ(fields.model, "m");
  EXPECT_DOUBLE_EQ(fields.sampling.temperature, 0.5);
  EXPECT_DOUBLE_EQ(fields.sampling.top_p, 0.9);
  EXPECT_EQ(fields.sampling.top_k, 20);
  EXPECT_DOUBLE_EQ(fields.sampling.min_p, 0.05);
  EXPECT_DOUBLE_EQ(fields.sampling.presence_penalty, -1);
  EXPECT_DOUBLE_EQ(fields.sampling.frequency_penalty, 1.5);
  EXPECT_DOUBLE_EQ(fields.sampling.repetition_penalty, 1.1);
  ASSERT_EQ(fields.sampling.logit_bias.size(), 2U);
  EXPECT_FLOAT_EQ(fields.sampling.logit_bias.at(3), 2.5F);
  EXPECT_FLOAT_EQ(fields.sampling.logit_bias.at(7), -100);
  EXPECT_EQ(fields.seed, -5);
  EXPECT_EQ(fields.stop, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(fields.n, 3);
  EXPECT_TRUE(fields.stream);
  EXPECT_TRUE(fields.include_usage);
  EXPECT_EQ(fields.max_tokens, 9);
  EXPECT_EQ(fields.logprobs, 4);
  EXPECT_TRUE(fields.ignore_eos);
  EXPECT_EQ(ToText(*parsed->variables),
            R"({"messages":[{"role":"user","content":"Hello"}],"add_generation_prompt":true,"enable_thinking":false})");
}

TEST(ChatParse, FieldsNotGivenHaveTheModelsDefaults) {
  auto parsed = ParseChatRequest(ChatBody(R"("top_p":null)"), {.temperature = 0.7, .top_k = 20, .top_p = 0.8});
  ASSERT_TRUE(parsed.ok()) << parsed.error().message;
  EXPECT_DOUBLE_EQ(parsed->common.sampling.temperature, 0.7);
  EXPECT_DOUBLE_EQ(parsed->common.sampling.top_p, 0.8);
  EXPECT_EQ(parsed->common.sampling.top_k, 20);
  EXPECT_FALSE(parsed->common.seed || parsed->common.max_tokens || parsed->common.logprobs || parsed->common.model);
  EXPECT_EQ(parsed->common.n, 1);
  EXPECT_FALSE(parsed->common.stream);
}

TEST(ChatParse, LetsHarmlessFieldsThrough) {
  for (const char* field : {R"("user":"u")",
                            R"("metadata":{"a":"b"})",
                            R"("store":false)",
                            R"("store":null)",
                            R"("service_tier":"auto")",
                            R"("tools":[])",
                            R"("tools":null)",
                            R"("tool_choice":"none")",
                            R"("parallel_tool_calls":true)",
                            R"("response_format":{"type":"text"})",
                            R"("modalities":["text"])",
                            R"("safety_identifier":"x")",
                            R"("prompt_cache_key":"x")",
                            R"("reasoning_effort":null)",
                            R"("top_k":-1)",
                            R"("stop":[])",
                            R"("stop":null)",
                            R"("max_tokens":5,"max_completion_tokens":5)",
                            R"("logprobs":false)",
                            R"("top_p":0)",
                            R"("temperature":2)"}) {
    auto parsed = ParseChatRequest(ChatBody(field), {});
    EXPECT_TRUE(parsed.ok()) << field << ": " << parsed.error().message;
  }
}

struct BadField {
  std::string text;
  std::string param;
};

TEST(ChatParse, RefusesAndNamesTheField) {
  const BadField cases[] = {
      {R"("temperature":"hot")", "temperature"},
      {R"("temperature":-0.1)", "temperature"},
      {R"("temperature":2.1)", "temperature"},
      {R"("temperature":true)", "temperature"},
      {R"("temperature":1e300)", "temperature"},
      {R"("top_p":1.5)", "top_p"},
      {R"("top_k":-2)", "top_k"},
      {R"("top_k":1.5)", "top_k"},
      {R"("top_k":3000000000)", "top_k"},
      {R"("min_p":-1)", "min_p"},
      {R"("presence_penalty":3)", "presence_penalty"},
      {R"("frequency_penalty":-3)", "frequency_penalty"},
      {R"("repetition_penalty":0)", "repetition_penalty"},
      {R"("repetition_penalty":101)", "repetition_penalty"},
      {R"("logit_bias":[])", "logit_bias"},
      {R"("logit_bias":{"x":1})", "logit_bias.x"},
      {R"("logit_bias":{"-1":1})", "logit_bias.-1"},
      {R"("logit_bias":{"5":101})", "logit_bias.5"},
      {R"("logit_bias":{"5":"a"})", "logit_bias.5"},
      {R"("logit_bias":{"99999999999":1})", "logit_bias.99999999999"},
      {R"("logit_bias":{"7":1,"07":2})", "logit_bias.07"},
      {R"("seed":1.5)", "seed"},
      {R"("seed":18446744073709551615)", "seed"},
      {R"("stop":5)", "stop"},
      {R"("stop":"")", "stop"},
      {R"("stop":["a",""])", "stop[1]"},
      {R"("stop":["a",7])", "stop[1]"},
      {R"("stop":["1","2","3","4","5","6","7","8","9","10","11","12","13","14","15","16","17"])", "stop"},
      {R"("n":0)", "n"},
      {R"("n":129)", "n"},
      {R"("n":"2")", "n"},
      {R"("max_tokens":0)", "max_tokens"},
      {R"("max_tokens":-1)", "max_tokens"},
      {R"("max_tokens":1e30)", "max_tokens"},
      {R"("max_tokens":99999999999999999999)", "max_tokens"},
      {R"("max_completion_tokens":0)", "max_completion_tokens"},
      {R"("max_tokens":5,"max_completion_tokens":6)", "max_tokens"},
      {R"("stream":1)", "stream"},
      {R"("stream_options":{"include_usage":true})", "stream_options"},
      {R"("stream":true,"stream_options":{"include_usage":1})", "stream_options.include_usage"},
      {R"("stream":true,"stream_options":{"usage":true})", "stream_options.usage"},
      {R"("stream":true,"stream_options":{"include_obfuscation":true})", "stream_options.include_obfuscation"},
      {R"("logprobs":5)", "logprobs"},
      {R"("top_logprobs":5)", "top_logprobs"},
      {R"("logprobs":true,"top_logprobs":21)", "top_logprobs"},
      {R"("tools":[{"type":"function"}])", "tools"},
      {R"("tool_choice":"auto")", "tool_choice"},
      {R"("functions":[{}])", "functions"},
      {R"("function_call":"auto")", "function_call"},
      {R"("response_format":{"type":"json_object"})", "response_format.type"},
      {R"("response_format":"text")", "response_format"},
      {R"("modalities":["audio"])", "modalities"},
      {R"("store":true)", "store"},
      {R"("service_tier":"flex")", "service_tier"},
      {R"("metadata":"x")", "metadata"},
      {R"("user":5)", "user"},
      {R"("reasoning_effort":"low")", "reasoning_effort"},
      {R"("chat_template_kwargs":{"messages":[]})", "chat_template_kwargs.messages"},
      {R"("chat_template_kwargs":{"tools":[]})", "chat_template_kwargs.tools"},
      {R"("model":7)", "model"},
      {R"("echo":true)", "echo"},
      {R"("prompt":"x")", "prompt"},
      {R"("temprature":1)", "temprature"},
      {R"("":1)", ""},
  };
  for (const BadField& bad : cases) {
    auto parsed = ParseChatRequest(ChatBody(bad.text), {});
    ASSERT_FALSE(parsed.ok()) << bad.text;
    EXPECT_EQ(parsed.error().http_status, 400) << bad.text;
    EXPECT_EQ(parsed.error().param, bad.param) << bad.text;
    EXPECT_TRUE(parsed.error().message.starts_with(bad.param)) << parsed.error().message;
  }
}

TEST(ChatParse, ReadsAConversation) {
  auto parsed = ParseChatRequest(R"({"messages":[
      {"role":"developer","content":"Be brief."},
      {"role":"user","content":[{"type":"text","text":"What"},{"type":"text","text":" now?"}]},
      {"role":"assistant","content":null,"refusal":null,"annotations":[],"audio":null,"function_call":null,
       "tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]},
      {"role":"tool","tool_call_id":"c1","content":"42"},
      {"role":"assistant","content":"","reasoning_content":"hm"}]})",
                                 {});
  ASSERT_TRUE(parsed.ok()) << parsed.error().message;
  EXPECT_EQ(ToText((*parsed->variables)["messages"]),
            R"([{"role":"system","content":"Be brief."},{"role":"user","content":"What now?"},)"
            R"({"role":"assistant","content":"","tool_calls":[{"id":"c1","type":"function",)"
            R"("function":{"name":"f","arguments":"{\"a\":1}"}}]},)"
            R"({"role":"tool","content":"42","tool_call_id":"c1"},)"
            R"({"role":"assistant","content":"","reasoning_content":"hm"}])");
}

TEST(ChatParse, RefusesBadMessages) {
  const BadField cases[] = {
      {R"({})", "messages"},
      {R"({"messages":null})", "messages"},
      {R"({"messages":[]})", "messages"},
      {R"({"messages":{}})", "messages"},
      {R"({"messages":"hi"})", "messages"},
      {R"({"messages":["hi"]})", "messages[0]"},
      {R"({"messages":[{"content":"x"}]})", "messages[0].role"},
      {R"({"messages":[{"role":"robot","content":"x"}]})", "messages[0].role"},
      {R"({"messages":[{"role":5,"content":"x"}]})", "messages[0].role"},
      {R"({"messages":[{"role":"user"}]})", "messages[0].content"},
      {R"({"messages":[{"role":"user","content":null}]})", "messages[0].content"},
      {R"({"messages":[{"role":"user","content":7}]})", "messages[0].content"},
      {R"({"messages":[{"role":"user","content":["x"]}]})", "messages[0].content[0]"},
      {R"({"messages":[{"role":"user","content":[{"type":"image_url","image_url":{}}]}]})",
       "messages[0].content[0].type"},
      {R"({"messages":[{"role":"user","content":[{"type":"text"}]}]})", "messages[0].content[0].text"},
      {R"({"messages":[{"role":"user","content":[{"type":"text","text":"a","x":1}]}]})", "messages[0].content[0].x"},
      {R"({"messages":[{"role":"user","content":"x","name":"bob"}]})", "messages[0].name"},
      {R"({"messages":[{"role":"user","content":"x","colour":"red"}]})", "messages[0].colour"},
      {R"({"messages":[{"role":"user","content":"x","tool_calls":[]}]})", "messages[0].tool_calls"},
      {R"({"messages":[{"role":"assistant"}]})", "messages[0].content"},
      {R"({"messages":[{"role":"assistant","content":"x","audio":{}}]})", "messages[0].audio"},
      {R"({"messages":[{"role":"assistant","tool_calls":[5]}]})", "messages[0].tool_calls[0]"},
      {R"({"messages":[{"role":"assistant","tool_calls":[{"id":"a"}]}]})", "messages[0].tool_calls[0].function"},
      {R"({"messages":[{"role":"assistant","tool_calls":[{"id":"a","function":{"name":"f","arguments":{}}}]}]})",
       "messages[0].tool_calls[0].function.arguments"},
      {R"({"messages":[{"role":"tool","content":"x"}]})", "messages[0].tool_call_id"},
  };
  for (const BadField& bad : cases) {
    auto parsed = ParseChatRequest(bad.text, {});
    ASSERT_FALSE(parsed.ok()) << bad.text;
    EXPECT_EQ(parsed.error().param, bad.param) << bad.text;
  }
}

// What a file may leave out, and what not even a file may.
TEST(ChatMessages, AFileHasTheTemplatesForm) {
  const auto read = [](const char* text) {
    const nlohmann::ordered_json json = nlohmann::ordered_json::parse(text);
    FirstError errors;
    FieldReader fields(json, "", errors);
    const nlohmann::ordered_json messages = ReadMessages(fields, MessageForm::kFile, errors);
    const nlohmann::ordered_json* tools = ReadTools(fields, errors);
    return errors.error() ? errors.error()->message : messages.dump() + (tools == nullptr ? "" : tools->dump());
  };
  EXPECT_EQ(
      read(R"({"messages":[{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":{"b":1,"a":2}}}]},
                                 {"role":"tool","name":"f","content":"3"},{"role":"developer","content":"x"}],
                     "tools":[{"function":{"name":"f","extra":[]},"more":1}]})"),
      R"([{"role":"assistant","content":"","tool_calls":[{"type":"function","function":)"
      R"({"name":"f","arguments":{"b":1,"a":2}}}]},{"role":"tool","content":"3","name":"f"},)"
      R"({"role":"system","content":"x"}][{"function":{"name":"f","extra":[]},"more":1}])");
  const std::vector<std::pair<const char*, const char*>> cases = {
      {R"("messages":[{"role":"robot","content":"x"}])", "messages[0].role: must be "},
      {R"("messages":[{"role":"user"}])", "messages[0].content: is required"},
      {R"("messages":[{"role":"user","content":"x","name":"bob"}])", "messages[0].name: not supported"},
      {R"("messages":[{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":5}}]}])",
       "messages[0].tool_calls[0].function.arguments: must be an object or a string"},
      {R"("tools":5)", "tools: must be an array"},
      {R"("tools":[5])", "tools[0]: must be an object"},
      {R"("tools":[{"type":"web","function":{"name":"f"}}])", "tools[0].type: must be \"function\""},
      {R"("tools":[{"function":{"name":"f"}},{"type":"function"}])", "tools[1].function: is required"},
      {R"("tools":[{"function":5}])", "tools[0].function: must be an object"},
      {R"("tools":[{"function":{}}])", "tools[0].function.name: is required"},
      {R"("tools":[{"function":{"name":7}}])", "tools[0].function.name: must be a string"},
      {R"("tools":[{"function":{"name":""}}])", "tools[0].function.name: is required"},
      {R"("tools":[{"function":{"name":"f","parameters":5}}])", "tools[0].function.parameters: must be an object"},
  };
  for (const auto& [members, message] : cases) {
    const bool chat = std::string(members).find("messages") != std::string::npos;
    const std::string said =
        read(("{" + std::string(members) + (chat ? "}" : std::string(",") + kHello + "}")).c_str());
    EXPECT_EQ(said.rfind(message, 0), 0u) << members << " | " << said;
  }
}

TEST(CompletionsParse, ReadsEveryKindOfPrompt) {
  auto one = ParseCompletionRequest(R"({"prompt":"a"})", {});
  ASSERT_TRUE(one.ok());
  EXPECT_EQ(std::get<std::string>(one->prompts.at(0)), "a");
  EXPECT_FALSE(one->echo);
  auto ids = ParseCompletionRequest(R"({"prompt":[1,2,3],"echo":true,"logprobs":0,"max_tokens":0})", {});
  ASSERT_TRUE(ids.ok());
  ASSERT_EQ(ids->prompts.size(), 1U);
  EXPECT_EQ(std::get<TokenIds>(ids->prompts[0]), (TokenIds{1, 2, 3}));
  EXPECT_TRUE(ids->echo);
  EXPECT_EQ(ids->common.logprobs, 0);
  EXPECT_EQ(ids->common.max_tokens, 0);
  auto list = ParseCompletionRequest(R"({"prompt":["a",[4,5],"b"],"n":2,"best_of":2,"suffix":null})", {});
  ASSERT_TRUE(list.ok()) << list.error().message;
  ASSERT_EQ(list->prompts.size(), 3U);
  EXPECT_EQ(std::get<TokenIds>(list->prompts[1]), (TokenIds{4, 5}));
}

TEST(CompletionsParse, RefusesAndNamesTheField) {
  const BadField cases[] = {
      {R"({})", "prompt"},
      {R"({"prompt":null})", "prompt"},
      {R"({"prompt":5})", "prompt"},
      {R"({"prompt":{}})", "prompt"},
      {R"({"prompt":[]})", "prompt"},
      {R"({"prompt":[1,"a"]})", "prompt[1]"},
      {R"({"prompt":[1,-2]})", "prompt[1]"},
      {R"({"prompt":[1.5]})", "prompt[0]"},
      {R"({"prompt":[99999999999]})", "prompt[0]"},
      {R"({"prompt":["a",5]})", "prompt[1]"},
      {R"({"prompt":[[1],["a"]]})", "prompt[1][0]"},
      {R"({"prompt":"a","logprobs":true})", "logprobs"},
      {R"({"prompt":"a","logprobs":21})", "logprobs"},
      {R"({"prompt":"a","top_logprobs":2})", "top_logprobs"},
      {R"({"prompt":"a","max_tokens":-1})", "max_tokens"},
      {R"({"prompt":"a","echo":"yes"})", "echo"},
      {R"({"prompt":"a","best_of":3})", "best_of"},
      {R"({"prompt":"a","suffix":"x"})", "suffix"},
      {R"({"prompt":["a","b"],"n":65})", "n"},
      {R"({"prompt":"a","messages":[]})", "messages"},
  };
  for (const BadField& bad : cases) {
    auto parsed = ParseCompletionRequest(bad.text, {});
    ASSERT_FALSE(parsed.ok()) << bad.text;
    EXPECT_EQ(parsed.error().param, bad.param) << bad.text;
  }
}

TEST(PlainParse, ReadsWithDefaults) {
  auto inference = ParseInferenceRequest(R"({"prompt":"p"})");
  ASSERT_TRUE(inference.ok());
  EXPECT_EQ(inference->max_tokens, 100);
  EXPECT_DOUBLE_EQ(inference->temperature, 0.7);
  EXPECT_FALSE(inference->stream);
  inference = ParseInferenceRequest(R"({"prompt":"p","max_tokens":5,"temperature":0,"stream":true})");
  ASSERT_TRUE(inference.ok());
  EXPECT_EQ(inference->max_tokens, 5);
  EXPECT_TRUE(inference->stream);

  auto tokenize = ParseTokenizeRequest(R"({"content":"c","parse_special":false,"with_pieces":true})");
  ASSERT_TRUE(tokenize.ok());
  EXPECT_EQ(tokenize->content, "c");
  EXPECT_FALSE(tokenize->parse_special);
  EXPECT_TRUE(tokenize->with_pieces);

  auto detokenize = ParseDetokenizeRequest(R"({"tokens":[5,6]})");
  ASSERT_TRUE(detokenize.ok());
  EXPECT_EQ(detokenize->tokens, (TokenIds{5, 6}));

  auto apply = ParseApplyTemplateRequest(ChatBody(R"("add_generation_prompt":false)"));
  ASSERT_TRUE(apply.ok());
  EXPECT_FALSE((*apply->variables)["add_generation_prompt"].get<bool>());
}

TEST(PlainParse, RefusesAndNamesTheField) {
  const auto param = [](auto parsed) { return parsed.ok() ? std::string("accepted") : parsed.error().param; };
  EXPECT_EQ(param(ParseInferenceRequest(R"({})")), "prompt");
  EXPECT_EQ(param(ParseInferenceRequest(R"({"prompt":5})")), "prompt");
  EXPECT_EQ(param(ParseInferenceRequest(R"({"prompt":"p","max_tokens":0})")), "max_tokens");
  EXPECT_EQ(param(ParseInferenceRequest(R"({"prompt":"p","temperature":9})")), "temperature");
  EXPECT_EQ(param(ParseInferenceRequest(R"({"prompt":"p","top_p":1})")), "top_p");
  EXPECT_EQ(param(ParseTokenizeRequest(R"({})")), "content");
  EXPECT_EQ(param(ParseTokenizeRequest(R"({"content":"c","prompt":"p"})")), "prompt");
  EXPECT_EQ(param(ParseDetokenizeRequest(R"({})")), "tokens");
  EXPECT_EQ(param(ParseDetokenizeRequest(R"({"tokens":"x"})")), "tokens");
  EXPECT_EQ(param(ParseDetokenizeRequest(R"({"tokens":[1,null]})")), "tokens[1]");
  EXPECT_EQ(param(ParseApplyTemplateRequest(ChatBody(R"("tools":[1])"))), "tools");
  EXPECT_EQ(param(ParseApplyTemplateRequest(ChatBody(R"("temperature":1)"))), "temperature");
}

// Whatever the bytes, the answer is a request or a 400, and its error can be sent.
TEST(AllParsers, SurviveMutatedBodies) {
  const std::string seeds[] = {
      ChatBody(R"("stop":["a","b"],"logit_bias":{"7":1},"stream":true,"stream_options":{"include_usage":true})"),
      R"({"messages":[{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f","arguments":"{}"}}]}],"n":2})",
      R"({"prompt":[[1,2],"\u00e9"],"logprobs":3,"max_tokens":5,"temperature":1e-3,"seed":-9223372036854775808})",
      R"({"content":"x","tokens":[1,2],"with_pieces":true})"};
  const std::string_view splices[] = {"[",    "{",   "}",     "]", "\"",      ":",    ",",
                                      "null", "NaN", "1e999", "-", "\\ud800", "\xff", "0"};
  std::mt19937 random(1);  // the same bodies in every run
  for (int round = 0; round < 20'000; ++round) {
    std::string body = seeds[random() % std::size(seeds)];
    for (uint32_t i = random() % 4 + 1; i > 0 && !body.empty(); --i) {
      const size_t at = random() % body.size();
      switch (random() % 4) {
        case 0:
          body[at] = static_cast<char>(random());
          break;
        case 1:
          body.erase(at, random() % 8);
          break;
        case 2:
          body.insert(at, splices[random() % std::size(splices)]);
          break;
        default:
          body.insert(at, body, random() % body.size(), random() % 16);
          break;
      }
    }
    const auto check = [&body](const auto& parsed) {
      if (parsed.ok()) return;
      ASSERT_EQ(parsed.error().http_status, 400) << body;
      ASSERT_FALSE(FormatError(parsed.error()).empty()) << body;
    };
    check(ParseChatRequest(body, {}));
    check(ParseCompletionRequest(body, {}));
    check(ParseInferenceRequest(body));
    check(ParseTokenizeRequest(body));
    check(ParseDetokenizeRequest(body));
    check(ParseApplyTemplateRequest(body));
  }
}

}  // namespace
}  // namespace qnext::server
