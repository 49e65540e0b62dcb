// The API over real sockets, as its clients see it.
#include <fmt/format.h>

#include <future>
#include <nlohmann/json.hpp>
#include <set>

#include "server/server_fixture.h"

namespace qnext::server {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kReply = "The capital of France is Paris.";

class ServerApi : public ServerFixture {};

TEST_F(ServerApi, Chat) {
  Start();
  const RawResponse response = Post("/v1/chat/completions", Chat(R"(,"seed":7,"model":"fake-model")"));
  ASSERT_EQ(response.status, 200) << response.body;
  EXPECT_TRUE(response.HeadHas("Content-Type: application/json\r\n"));
  const Json json = response.Json();
  EXPECT_TRUE(json["id"].get<std::string>().starts_with("chatcmpl-"));
  EXPECT_EQ(json["model"], "fake-model");
  EXPECT_EQ(json["system_fingerprint"], "fp_fake");
  EXPECT_EQ(json["choices"][0]["message"]["content"], kReply);
  EXPECT_EQ(json["choices"][0]["finish_reason"], "stop");
  // <|im_start|> user \n ... <|im_end|> \n <|im_start|> assistant \n
  const size_t prompt = 1 + 5 + std::string("What is the capital of France?").size() + 1 + 1 + 1 + 10;
  EXPECT_EQ(json["usage"]["prompt_tokens"], prompt);
  EXPECT_EQ(json["usage"]["completion_tokens"], std::string(kReply).size() + 1);
  EXPECT_EQ(json["usage"]["prompt_tokens_details"]["cached_tokens"], 1);
  ASSERT_EQ(backend->requests().size(), 1U);
  const GenerateRequest request = backend->requests()[0];
  EXPECT_EQ(request.sampling.seed, 7U);
  EXPECT_EQ(request.max_tokens, 2048 - static_cast<int64_t>(prompt));
}

TEST_F(ServerApi, EverySamplingFieldReachesTheBackend) {
  Start();
  ASSERT_EQ(Post("/v1/chat/completions", Chat(R"(,"temperature":0.5,"top_p":0.9,"top_k":20,"min_p":0.05,
      "presence_penalty":-1,"frequency_penalty":1.5,"repetition_penalty":1.1,"logit_bias":{"7":-100},"seed":-5,
      "stop":["zz"],"max_completion_tokens":9,"logprobs":true,"top_logprobs":4,"ignore_eos":true)"))
                .status,
            200);
  const GenerateRequest request = backend->requests().at(0);
  EXPECT_DOUBLE_EQ(request.sampling.temperature, 0.5);
  EXPECT_DOUBLE_EQ(request.sampling.top_p, 0.9);
  EXPECT_EQ(request.sampling.top_k, 20);
  EXPECT_DOUBLE_EQ(request.sampling.min_p, 0.05);
  EXPECT_DOUBLE_EQ(request.sampling.presence_penalty, -1);
  EXPECT_DOUBLE_EQ(request.sampling.frequency_penalty, 1.5);
  EXPECT_DOUBLE_EQ(request.sampling.repetition_penalty, 1.1);
  EXPECT_FLOAT_EQ(request.sampling.logit_bias.at(7), -100);
  EXPECT_EQ(request.sampling.seed, static_cast<uint64_t>(int64_t{-5}));
  EXPECT_EQ(request.stop.at(0), "zz");
  EXPECT_EQ(request.max_tokens, 9);
  EXPECT_EQ(request.logprobs, 4);
  EXPECT_TRUE(request.ignore_eos);
  EXPECT_TRUE(request.chat);
}

TEST_F(ServerApi, APromptThatCannotFitIsNotTokenized) {
  Start();
  const std::string large(12 * 2048 + 1, 'x');  // a token of the fake has 12 bytes at most
  const std::string message = "at least 2049 tokens do not fit the context of 2048";
  const auto expect_refusal = [&](const RawResponse& response, const std::string& param) {
    EXPECT_EQ(response.status, 400);
    EXPECT_EQ(response.ErrorParam(), param);
    EXPECT_EQ(response.Json()["error"]["code"], "context_length_exceeded");
    EXPECT_NE(response.body.find(message), std::string::npos) << response.body;
  };
  expect_refusal(Post("/v1/completions", fmt::format(R"({{"prompt":"{}","max_tokens":0}})", large)), "prompt");
  expect_refusal(Post("/v1/completions", fmt::format(R"({{"prompt":["{}"]}})", large)), "prompt");
  expect_refusal(Post("/inference", fmt::format(R"({{"prompt":"{}"}})", large)), "prompt");
  EXPECT_EQ(Post("/v1/chat/completions", fmt::format(R"({{"messages":[{{"role":"user","content":"{}"}}]}})", large))
                .Json()["error"]["code"],
            "context_length_exceeded");
  EXPECT_EQ(backend->tokenize_begun, 0);
  std::string most;
  for (int i = 0; i < 2047; ++i) most += "<|im_start|>";
  EXPECT_EQ(Post("/v1/completions", fmt::format(R"({{"prompt":"{}"}})", most)).status, 200);
}

TEST_F(ServerApi, ChatStream) {
  backend->reply = "Gr\xC3\xBC\xC3\x9F dich \xF0\x9F\x98\x80!";
  Start();
  const RawResponse response =
      Post("/v1/chat/completions", Chat(R"(,"stream":true,"stream_options":{"include_usage":true})"));
  ASSERT_EQ(response.status, 200) << response.body;
  EXPECT_TRUE(response.HeadHas("Content-Type: text/event-stream"));
  EXPECT_TRUE(response.HeadHas("Cache-Control: no-cache\r\n"));
  EXPECT_EQ(response.Events().back(), "[DONE]");
  const std::vector<Json> chunks = response.Chunks();
  ASSERT_GE(chunks.size(), 4U);
  EXPECT_EQ(chunks[0]["choices"][0]["delta"], (Json{{"role", "assistant"}, {"content", ""}}));
  std::string text;
  for (size_t i = 1; i + 2 < chunks.size(); ++i) {
    const auto piece = chunks[i]["choices"][0]["delta"]["content"].get<std::string>();
    EXPECT_EQ(piece.find("\xEF\xBF\xBD"), std::string::npos) << "a piece ends inside a character";
    text += piece;
    EXPECT_TRUE(chunks[i]["usage"].is_null());
  }
  EXPECT_EQ(text, backend->reply);
  const Json& last = chunks[chunks.size() - 2];
  EXPECT_EQ(last["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(last["choices"][0]["delta"], Json::object());
  EXPECT_EQ(chunks.back()["choices"], Json::array());
  EXPECT_EQ(chunks.back()["usage"]["completion_tokens"], backend->reply.size() + 1);
}

TEST_F(ServerApi, AStreamSaysWhatTheWholeAnswerSays) {
  Start();
  for (const char* path : {"/v1/chat/completions", "/v1/completions"}) {
    const bool chat = std::string(path) == "/v1/chat/completions";
    const std::string fields = R"(,"n":3,"temperature":1,"seed":5,"max_tokens":30,"stop":"Paris")";
    const auto body = [&](const std::string& more) {
      const std::string all = fields + more;
      return chat ? Chat(all) : fmt::format(R"({{"prompt":"Hi"{}}})", all);
    };
    const Json whole = Post(path, body("")).Json();
    std::vector<std::string> texts(3);
    std::vector<std::string> ends(3);
    for (const Json& chunk : Post(path, body(R"(,"stream":true)")).Chunks()) {
      const Json& choice = chunk["choices"][0];
      const size_t index = choice["index"].get<size_t>();
      texts.at(index) += chat ? choice["delta"].value("content", "") : choice["text"].get<std::string>();
      if (!choice["finish_reason"].is_null()) ends.at(index) += choice["finish_reason"].get<std::string>();
    }
    std::set<std::string> different;
    for (size_t i = 0; i < 3; ++i) {
      const Json& choice = whole["choices"][i];
      EXPECT_EQ(choice["index"], i);
      EXPECT_EQ(texts[i], chat ? choice["message"]["content"] : choice["text"]);
      EXPECT_EQ(ends[i], choice["finish_reason"]);
      different.insert(texts[i]);
    }
    EXPECT_EQ(different.size(), 3U) << "n answers need n streams";
  }
}

TEST_F(ServerApi, StopAndLength) {
  Start();
  const Json stopped =
      Post("/v1/completions", R"({"prompt":"x","stop":["France","capital of"],"max_tokens":99})").Json();
  EXPECT_EQ(stopped["choices"][0]["text"], "The ");
  EXPECT_EQ(stopped["choices"][0]["finish_reason"], "stop");
  const Json cut = Post("/v1/completions", R"({"prompt":"x","max_tokens":3})").Json();
  EXPECT_EQ(cut["choices"][0]["text"], "The");
  EXPECT_EQ(cut["choices"][0]["finish_reason"], "length");
  const Json by_default = Post("/v1/completions", R"({"prompt":"x"})").Json();
  EXPECT_EQ(by_default["usage"]["completion_tokens"], 16);
}

TEST_F(ServerApi, ChatLogprobs) {
  Start();
  const Json whole = Post("/v1/chat/completions", Chat(R"(,"logprobs":true,"top_logprobs":2,"max_tokens":4)")).Json();
  const Json& content = whole["choices"][0]["logprobs"]["content"];
  ASSERT_EQ(content.size(), 4U);
  EXPECT_EQ(content[1]["token"], "h");
  EXPECT_EQ(content[1]["top_logprobs"].size(), 2U);
  Json streamed = Json::array();
  const RawResponse stream =
      Post("/v1/chat/completions", Chat(R"(,"logprobs":true,"top_logprobs":2,"max_tokens":4,"stream":true)"));
  for (const Json& chunk : stream.Chunks()) {
    const Json& logprobs = chunk["choices"][0]["logprobs"];
    if (logprobs.is_null()) continue;  // the opening chunk
    for (const Json& token : logprobs["content"]) streamed.push_back(token);
  }
  EXPECT_EQ(streamed, content);
}

TEST_F(ServerApi, CompletionsEchoAndLogprobs) {
  Start();
  const Json echoed = Post("/v1/completions", R"({"prompt":[72,105],"echo":true,"max_tokens":3,"logprobs":1})").Json();
  EXPECT_EQ(echoed["choices"][0]["text"], "HiThe");
  const Json& logprobs = echoed["choices"][0]["logprobs"];
  EXPECT_EQ(logprobs["tokens"], Json::array({"H", "i", "T", "h", "e"}));
  EXPECT_EQ(logprobs["text_offset"], Json::array({0, 1, 2, 3, 4}));
  EXPECT_EQ(logprobs["token_logprobs"], Json::array({nullptr, -0.25, -0.25, -0.25, -0.25}));
  EXPECT_TRUE(logprobs["top_logprobs"][0].is_null());

  const Json scored = Post("/v1/completions", R"({"prompt":"Hi","echo":true,"max_tokens":0,"logprobs":0})").Json();
  EXPECT_EQ(scored["choices"][0]["text"], "Hi");
  EXPECT_EQ(scored["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(scored["choices"][0]["logprobs"]["tokens"], Json::array({"H", "i"}));
  EXPECT_EQ(scored["usage"]["completion_tokens"], 0);

  const Json nothing = Post("/v1/completions", R"({"prompt":"Hi","max_tokens":0})").Json();
  EXPECT_EQ(nothing["choices"][0]["text"], "");
  EXPECT_EQ(nothing["usage"]["prompt_tokens"], 2);

  backend->info.supports_prompt_logprobs = false;
  const RawResponse refused = Post("/v1/completions", R"({"prompt":"Hi","echo":true,"logprobs":0})");
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(refused.ErrorParam(), "logprobs");
}

TEST_F(ServerApi, CompletionsOfSeveralPrompts) {
  Start();
  const Json json = Post("/v1/completions", R"({"prompt":["a",[98],"c"],"n":2,"echo":true,"max_tokens":3})").Json();
  ASSERT_EQ(json["choices"].size(), 6U);
  const char* expected[] = {"aThe", "aThe", "bThe", "bThe", "cThe", "cThe"};
  for (size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(json["choices"][i]["index"], i);
    EXPECT_EQ(json["choices"][i]["text"], expected[i]);
  }
  EXPECT_EQ(json["usage"]["prompt_tokens"], 3);
  EXPECT_EQ(json["usage"]["completion_tokens"], 18);
}

TEST_F(ServerApi, RefusesWhatOnlyTheModelCanJudge) {
  Start();
  const RawResponse model = Post("/v1/chat/completions", Chat(R"(,"model":"gpt-4")"));
  EXPECT_EQ(model.status, 404);
  EXPECT_EQ(model.ErrorParam(), "model");
  EXPECT_EQ(model.Json()["error"]["code"], "model_not_found");
  EXPECT_EQ(Post("/v1/completions", R"({"prompt":[300]})").ErrorParam(), "prompt[0]");
  EXPECT_EQ(Post("/v1/completions", R"({"prompt":["ok",[1,258]]})").ErrorParam(), "prompt[1][1]");
  EXPECT_EQ(Post("/v1/completions", R"({"prompt":""})").ErrorParam(), "prompt");
  EXPECT_EQ(Post("/v1/completions", R"({"prompt":"x","logit_bias":{"258":1}})").ErrorParam(), "logit_bias.258");
  EXPECT_EQ(Post("/detokenize", R"({"tokens":[1,258]})").ErrorParam(), "tokens[1]");
  const RawResponse refused = Post("/v1/chat/completions", R"({"messages":[{"role":"user","content":"refuse me"}]})");
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(refused.ErrorParam(), "messages");
  const RawResponse longer = Post("/v1/completions", R"({"prompt":")" + std::string(2048, 'a') + "\"}");
  EXPECT_EQ(longer.status, 400);
  EXPECT_EQ(longer.ErrorParam(), "prompt");
  EXPECT_EQ(longer.Json()["error"]["code"], "context_length_exceeded");
  EXPECT_EQ(backend->requests().size(), 0U);
}

TEST_F(ServerApi, Inference) {
  Start();
  const Json whole = Post("/inference", R"({"prompt":"x","temperature":0})").Json();
  EXPECT_EQ(whole["text"], kReply);
  EXPECT_EQ(whole["tokens_generated"], 32);
  EXPECT_GT(whole["generation_time"].get<double>(), 0);
  EXPECT_GT(whole["tokens_per_second"].get<double>(), 0);
  EXPECT_GT(whole["memory_used_gb"].get<double>(), 1);
  std::string text;
  Json last;
  for (const Json& event : Post("/inference", R"({"prompt":"x","temperature":0,"stream":true})").Chunks()) {
    text += event.value("text", "");
    last = event;
  }
  EXPECT_EQ(text, kReply);
  EXPECT_EQ(last["tokens_generated"], 32);
  EXPECT_EQ(backend->requests().at(0).max_tokens, 100);
}

TEST_F(ServerApi, Tools) {
  Start();
  EXPECT_EQ(Post("/tokenize", R"({"content":"a<|im_end|>"})").body, R"({"tokens":[97,257],"count":2})");
  EXPECT_EQ(Post("/tokenize", R"({"content":"<|i","parse_special":false,"with_pieces":true})").body,
            R"({"tokens":[{"id":60,"piece":"<"},{"id":124,"piece":"|"},{"id":105,"piece":"i"}],"count":3})");
  EXPECT_EQ(Post("/detokenize", R"({"tokens":[97,257]})").body, R"({"content":"a<|im_end|>"})");
  EXPECT_EQ(Post("/apply-template", R"({"messages":[{"role":"user","content":"x"}]})").Json()["prompt"],
            "<|im_start|>user\nx<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(Get("/v1/models").Json()["data"][0]["id"], "fake-model");
  EXPECT_EQ(Get("/v1/models/fake%2Dmodel").Json()["context_length"], 2048);
  const RawResponse missing = Get("/v1/models/other");
  EXPECT_EQ(missing.status, 404);
  EXPECT_EQ(missing.ErrorParam(), "model");
}

TEST_F(ServerApi, ErrorsOfTheBackend) {
  backend->failure = Internal("the device is lost");
  Start();
  const RawResponse whole = Post("/v1/chat/completions", Chat());
  EXPECT_EQ(whole.status, 500);
  EXPECT_EQ(whole.ErrorParam(), "");
  EXPECT_EQ(whole.Json()["error"]["type"], "server_error");
  // Nothing has been sent yet, so the stream's status can say it.
  EXPECT_EQ(Post("/v1/chat/completions", Chat(R"(,"stream":true)")).status, 500);
}

TEST_F(ServerApi, ErrorInTheMiddleOfAStream) {
  backend->failure = Internal("the device is lost");
  backend->fail_after = 3;
  Start();
  const RawResponse response = Post("/v1/chat/completions", Chat(R"(,"stream":true)"));
  EXPECT_EQ(response.status, 200);
  const std::vector<Json> chunks = response.Chunks();
  ASSERT_EQ(chunks.size(), 5U) << response.body;  // role, three tokens, the error
  EXPECT_EQ(chunks.back()["error"]["message"], "the device is lost");
  EXPECT_EQ(response.Events().back(), "[DONE]");
}

TEST_F(ServerApi, AThrowingBackendEndsOnlyItsRequest) {
  backend->throws = true;
  Start();
  EXPECT_EQ(Post("/v1/chat/completions", Chat()).status, 500);
  backend->throws = false;
  EXPECT_EQ(Post("/v1/chat/completions", Chat()).status, 200);
}

TEST_F(ServerApi, KeysAreRequired) {
  options.api_keys = {"k1", "k2"};
  Start();
  const RawResponse none = Get("/v1/models");
  EXPECT_EQ(none.status, 401);
  EXPECT_EQ(none.Json()["error"]["code"], "invalid_api_key");
  EXPECT_TRUE(none.HeadHas("WWW-Authenticate: Bearer\r\n"));
  EXPECT_EQ(Get("/v1/models", "Authorization: Bearer wrong\r\n").status, 401);
  EXPECT_EQ(Get("/v1/models", "Authorization: Bearer k2\r\n").status, 200);
  EXPECT_EQ(Get("/metrics").status, 401);
  EXPECT_EQ(Get("/nowhere").status, 401);
  EXPECT_EQ(Post("/v1/chat/completions", Chat()).status, 401);
  EXPECT_EQ(Get("/health").status, 200);
}

TEST_F(ServerApi, HealthThroughALoad) {
  StartWithoutModel();
  server->ReportLoading({.stage = "reading experts", .fraction = 0.5, .gpu_available = true});
  RawResponse health = Get("/health");
  EXPECT_EQ(health.status, 503);
  EXPECT_EQ(health.Json()["status"], "loading");
  EXPECT_EQ(health.Json()["progress"]["fraction"], 0.5);
  const RawResponse early = Post("/v1/chat/completions", Chat());
  EXPECT_EQ(early.status, 503);
  EXPECT_EQ(early.Json()["error"]["code"], "model_not_ready");
  EXPECT_TRUE(early.HeadHas("Retry-After: "));
  EXPECT_EQ(Get("/v1/models").status, 503);
  EXPECT_EQ(Get("/metrics").status, 200);

  server->AttachBackend(backend);
  health = Get("/health");
  EXPECT_EQ(health.status, 200);
  EXPECT_EQ(
      health.body,
      R"({"status":"ok","model_ready":true,"gpu_available":true,"memory_sufficient":true,"last_inference":null})");
  EXPECT_EQ(Post("/v1/chat/completions", Chat()).status, 200);
  EXPECT_TRUE(Get("/health").Json()["last_inference"].is_string());
}

TEST_F(ServerApi, LoadsOnTheThreadThatGenerates) {
  StartWithoutModel();
  std::promise<void> finish;
  std::atomic<std::thread::id> loader;
  server->Load([&]() -> Result<std::shared_ptr<Backend>> {
    loader = std::this_thread::get_id();
    finish.get_future().wait();
    return std::shared_ptr<Backend>(backend);
  });
  EXPECT_EQ(Get("/health").Json()["status"], "loading");
  EXPECT_EQ(Get("/metrics", "Accept: application/json\r\n").Json()["requests_running"], 0);
  finish.set_value();
  ASSERT_TRUE(Eventually([&] { return Get("/health").status == 200; }));
  EXPECT_EQ(Post("/v1/chat/completions", Chat()).status, 200);
  EXPECT_EQ(backend->generated_on.load(), loader.load());
}

TEST_F(ServerApi, AFailedOrThrowingLoadIsToldByHealth) {
  for (const bool throws : {false, true}) {
    StartWithoutModel();
    server->Load([&]() -> Result<std::shared_ptr<Backend>> {
      if (throws) throw std::runtime_error("no memory");
      return ResourceExhausted("no memory");
    });
    ASSERT_TRUE(Eventually([&] { return Get("/health").Json()["status"] == "unhealthy"; }));
    EXPECT_EQ(Get("/health").Json()["problem"], "no memory");
  }
}

TEST_F(ServerApi, HealthOfAFailedLoadAndASickBackend) {
  StartWithoutModel();
  server->ReportLoadFailure(Corrupt("model-1.safetensors: short"));
  EXPECT_EQ(Get("/health").status, 503);
  EXPECT_EQ(Get("/health").Json()["problem"], "model-1.safetensors: short");
  EXPECT_EQ(Post("/v1/chat/completions", Chat()).status, 503);
  backend->health.status = Internal("the device is lost");
  server->AttachBackend(backend);
  EXPECT_EQ(Get("/health").status, 503);
  EXPECT_EQ(Get("/health").Json()["status"], "unhealthy");
}

TEST_F(ServerApi, MetricsAddUp) {
  Start();
  ASSERT_EQ(Post("/v1/chat/completions", Chat()).status, 200);
  ASSERT_EQ(Post("/v1/chat/completions", Chat(R"(,"stream":true)")).status, 200);
  ASSERT_EQ(Post("/v1/chat/completions", Chat(R"(,"bad":true)")).status, 400);
  ASSERT_EQ(Get("/nowhere").status, 404);
  const RawResponse text = Get("/metrics");
  EXPECT_TRUE(text.HeadHas("Content-Type: text/plain; version=0.0.4"));
  for (const char* line :
       {"qnext_requests_total{endpoint=\"/v1/chat/completions\",status=\"200\"} 2\n",
        "qnext_requests_total{endpoint=\"/v1/chat/completions\",status=\"400\"} 1\n",
        "qnext_requests_total{endpoint=\"other\",status=\"404\"} 1\n", "qnext_generations_total{end=\"stop\"} 2\n",
        "qnext_generation_tokens_total 64\n", "qnext_time_to_first_token_seconds_count 2\n",
        "qnext_inter_token_latency_seconds_count 62\n", "qnext_queue_length 0\n", "qnext_model_loaded 1\n",
        "qnext_expert_hits_total{place=\"gpu\"} 12\n"}) {
    EXPECT_NE(text.body.find(line), std::string::npos) << line << text.body;
  }
  const Json json = Get("/metrics", "Accept: application/json\r\n").Json();
  EXPECT_EQ(json["total_inferences"], 2);
  EXPECT_EQ(json["model_loaded"], true);
  EXPECT_EQ(json["engine"][0]["value"], 12.0);
}

}  // namespace
}  // namespace qnext::server
