// The answers of all endpoints, byte for byte where clients depend on it.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "server/answer_format.h"
#include "server/api_error.h"
#include "server/format_info.h"
#include "server/format_parts.h"
#include "server/http_head.h"
#include "server/prometheus_text.h"
#include "server/server_metrics.h"
#include "server/sse.h"

namespace qnext::server {
namespace {

using Json = nlohmann::ordered_json;

AnswerHead Head(bool include_usage = false) {
  return {.id = "id-1", .model = "m", .fingerprint = "fp", .created_unix = 99, .include_usage = include_usage};
}

AnswerTotals Totals() {
  return {.usage = {.prompt_tokens = 10, .cached_prompt_tokens = 4, .completion_tokens = 5},
          .generation_seconds = 2,
          .memory_used_bytes = int64_t{3} << 29};
}

// The first token is half of an e-acute, the second the other half.
std::vector<AnswerToken> SplitCharacter() {
  AnswerToken first{.token = {"\xC3", -0.5F}, .text_offset = 0};
  first.top = {{"\xC3", -0.5F}, {"a", -std::numeric_limits<float>::infinity()}};
  AnswerToken second{.token = {"\xA9", -0.125F}, .text_offset = 1};
  return {first, second};
}

TEST(ErrorFormat, HasOpenAisShape) {
  EXPECT_EQ(FormatError(InvalidField("n", "too many")),
            R"({"error":{"message":"n: too many","type":"invalid_request_error","param":"n","code":null}})");
  const HttpResponse busy =
      ErrorResponse({.http_status = 429, .message = "full", .code = "queue_full", .retry_after_seconds = 3});
  EXPECT_EQ(busy.status, 429);
  EXPECT_EQ(busy.body, R"({"error":{"message":"full","type":"rate_limit_error","param":null,"code":"queue_full"}})");
  ASSERT_EQ(busy.headers.size(), 1U);
  EXPECT_EQ(busy.headers[0].name + ": " + busy.headers[0].value, "Retry-After: 3");
}

TEST(ErrorFormat, MapsEveryStatusCode) {
  const auto status = [](const Status& s) { return FromStatus(s).http_status; };
  EXPECT_EQ(status(InvalidArgument("x")), 400);
  EXPECT_EQ(status(Unsupported("x")), 400);
  EXPECT_EQ(status(NotFound("x")), 404);
  EXPECT_EQ(status(ResourceExhausted("x")), 503);
  EXPECT_EQ(status(Unavailable("x")), 503);
  EXPECT_EQ(status(Cancelled("x")), 503);
  EXPECT_EQ(status(Corrupt("x")), 500);
  EXPECT_EQ(status(Internal("x")), 500);
}

TEST(ChatFormat, Whole) {
  const Choice choice{.index = 0, .text = "Hi \"there\"", .finish_reason = FinishReason::kStop};
  EXPECT_EQ(ChatFormat(Head())->Whole({&choice, 1}, Totals()),
            R"({"id":"id-1","object":"chat.completion","created":99,"model":"m","system_fingerprint":"fp","choices":[)"
            R"({"index":0,"message":{"role":"assistant","content":"Hi \"there\"","refusal":null},"logprobs":null,)"
            R"("finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,)"
            R"("prompt_tokens_details":{"cached_tokens":4}}})");
}

TEST(ChatFormat, LogprobsKeepTheBytesOfHalfCharacters) {
  const Choice choice{.text = "\xC3\xA9", .logprobs = SplitCharacter(), .finish_reason = FinishReason::kLength};
  const Json out = Json::parse(ChatFormat(Head())->Whole({&choice, 1}, Totals()));
  const Json& content = out["choices"][0]["logprobs"]["content"];
  ASSERT_EQ(content.size(), 2U);
  EXPECT_EQ(content[0]["bytes"], Json::array({0xC3}));
  EXPECT_EQ(content[0]["token"], "\xEF\xBF\xBD");
  EXPECT_DOUBLE_EQ(content[0]["logprob"].get<double>(), -0.5);
  EXPECT_DOUBLE_EQ(content[0]["top_logprobs"][1]["logprob"].get<double>(), -9999);
  EXPECT_EQ(content[0]["top_logprobs"][1]["bytes"], Json::array({97}));
  EXPECT_TRUE(content[1]["top_logprobs"].empty());
  EXPECT_EQ(out["choices"][0]["finish_reason"], "length");
}

TEST(ChatFormat, Chunks) {
  const auto format = ChatFormat(Head(/*include_usage=*/true));
  const std::string head =
      R"({"id":"id-1","object":"chat.completion.chunk","created":99,"model":"m","system_fingerprint":"fp",)";
  EXPECT_EQ(format->Opening(2),
            head + R"("choices":[{"index":2,"delta":{"role":"assistant","content":""},"logprobs":null,)"
                   R"("finish_reason":null}],"usage":null})");
  EXPECT_EQ(format->Chunk({.index = 2, .text = "Hi"}),
            head + R"("choices":[{"index":2,"delta":{"content":"Hi"},"logprobs":null,"finish_reason":null}],)"
                   R"("usage":null})");
  EXPECT_EQ(format->Chunk({.index = 2, .finish_reason = FinishReason::kStop}),
            head + R"("choices":[{"index":2,"delta":{},"logprobs":null,"finish_reason":"stop"}],"usage":null})");
  EXPECT_EQ(format->Closing(Totals()),
            head + R"("choices":[],"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,)"
                   R"("prompt_tokens_details":{"cached_tokens":4}}})");
  EXPECT_EQ(ChatFormat(Head())->Closing(Totals()), "");
  EXPECT_EQ(ChatFormat(Head())->Chunk({.text = "x"}).find("usage"), std::string::npos);
}

TEST(CompletionFormat, WholeWithLogprobs) {
  std::vector<AnswerToken> tokens = SplitCharacter();
  tokens.insert(tokens.begin(), AnswerToken{.token = {"P", 0}, .scored = false});
  const Choice choice{.text = "P\xC3\xA9", .logprobs = tokens, .finish_reason = FinishReason::kStop};
  const Json out = Json::parse(CompletionFormat(Head())->Whole({&choice, 1}, Totals()));
  EXPECT_EQ(out["object"], "text_completion");
  EXPECT_EQ(out["choices"][0]["text"], "P\xC3\xA9");
  const Json& logprobs = out["choices"][0]["logprobs"];
  EXPECT_EQ(logprobs["tokens"], Json::array({"P", "bytes:\\xc3", "bytes:\\xa9"}));
  EXPECT_EQ(logprobs["token_logprobs"], Json::array({nullptr, -0.5, -0.125}));
  EXPECT_TRUE(logprobs["top_logprobs"][0].is_null());
  EXPECT_EQ(logprobs["top_logprobs"][1], (Json{{"bytes:\\xc3", -0.5}, {"a", -9999.0}}));
  EXPECT_EQ(logprobs["text_offset"], Json::array({0, 0, 1}));
}

TEST(CompletionFormat, Chunks) {
  const auto format = CompletionFormat(Head());
  EXPECT_EQ(format->Opening(0), "");
  EXPECT_EQ(format->Chunk({.index = 1, .text = "x"}),
            R"({"id":"id-1","object":"text_completion","created":99,"model":"m","system_fingerprint":"fp","choices":[)"
            R"({"index":1,"text":"x","logprobs":null,"finish_reason":null}]})");
  EXPECT_EQ(format->Closing(Totals()), "");
}

TEST(InferenceFormat, HasTheContractsFields) {
  const Choice choice{.text = "out", .finish_reason = FinishReason::kStop};
  const auto format = InferenceFormat();
  EXPECT_EQ(
      format->Whole({&choice, 1}, Totals()),
      R"({"text":"out","tokens_generated":5,"generation_time":2.0,"tokens_per_second":2.5,"memory_used_gb":1.5})");
  EXPECT_EQ(format->Chunk(choice), R"({"text":"out"})");
  EXPECT_EQ(format->Chunk({.finish_reason = FinishReason::kStop}), "");
  EXPECT_EQ(format->Closing(Totals()),
            R"({"tokens_generated":5,"generation_time":2.0,"tokens_per_second":2.5,"memory_used_gb":1.5})");
}

TEST(InfoFormat, ModelsAndTokens) {
  ModelInfo model;
  model.id = "m";
  model.created_unix = 7;
  model.context_length = 4096;
  EXPECT_EQ(FormatModels(model),
            R"({"object":"list","data":[{"id":"m","object":"model","created":7,"owned_by":"qnext",)"
            R"("context_length":4096}]})");
  EXPECT_EQ(FormatModel(model), R"({"id":"m","object":"model","created":7,"owned_by":"qnext","context_length":4096})");
  const std::vector<int32_t> ids{5, 6};
  EXPECT_EQ(FormatTokens(ids, {}), R"({"tokens":[5,6],"count":2})");
  EXPECT_EQ(FormatTokens(ids, std::vector<std::string>{"a", "\xC3"}),
            R"({"tokens":[{"id":5,"piece":"a"},{"id":6,"piece":[195]}],"count":2})");
  EXPECT_EQ(FormatTokens({}, {}), R"({"tokens":[],"count":0})");
  EXPECT_EQ(FormatContent("x"), R"({"content":"x"})");
  EXPECT_EQ(FormatPrompt("x"), R"({"prompt":"x"})");
}

TEST(InfoFormat, HealthOfEveryState) {
  ModelState loading;
  loading.progress = {.stage = "reading experts", .fraction = 0.25, .gpu_available = true};
  EXPECT_EQ(FormatHealth(MakeHealthReport(loading, false, {})),
            R"({"status":"loading","model_ready":false,"gpu_available":true,"memory_sufficient":true,)"
            R"("last_inference":null,"progress":{"stage":"reading experts","fraction":0.25}})");
  ModelState failed;
  failed.failure = Corrupt("model.safetensors: short");
  EXPECT_EQ(FormatHealth(MakeHealthReport(failed, false, {})),
            R"({"status":"unhealthy","model_ready":false,"gpu_available":false,"memory_sufficient":true,)"
            R"("last_inference":null,"problem":"model.safetensors: short"})");
  EXPECT_EQ(FormatHealth(MakeHealthReport(loading, true, 0)),
            R"({"status":"shutting_down","model_ready":false,"gpu_available":true,"memory_sufficient":true,)"
            R"("last_inference":"1970-01-01T00:00:00Z"})");
}

TEST(Parts, CharacterCounterCountsWhereCharactersBegin) {
  CharacterCounter counter;
  EXPECT_EQ(counter.Add("ab"), 0);
  EXPECT_EQ(counter.Add("\xE2\x82"), 2);
  EXPECT_EQ(counter.Add("\xAC"), 3);
  EXPECT_EQ(counter.Add("z"), 3);
}

TEST(Prometheus, WritesEscapesAndHistograms) {
  PrometheusText out;
  out.Counter("a_total", "Counts\nthings.", 3);
  out.Add({.name = "b", .help = "B.", .labels = {{"k", "v\"\\\n"}, {"l", "x"}}, .value = 0.5});
  out.Add({.name = "b", .help = "B.", .labels = {{"k", "w"}}, .value = 1e20});
  Histogram histogram(std::vector<double>{0.1, 1.0});
  histogram.Observe(0.1);
  histogram.Observe(0.5, 2);
  histogram.Observe(7);
  out.Add("h", "H.", histogram);
  EXPECT_EQ(out.text(),
            "# HELP a_total Counts\\nthings.\n# TYPE a_total counter\na_total 3\n"
            "# HELP b B.\n# TYPE b gauge\nb{k=\"v\\\"\\\\\\n\",l=\"x\"} 0.5\nb{k=\"w\"} 1e+20\n"
            "# HELP h H.\n# TYPE h histogram\nh_bucket{le=\"0.1\"} 1\nh_bucket{le=\"1\"} 3\nh_bucket{le=\"+Inf\"} 4\n"
            "h_sum 8.1\nh_count 4\n");
}

TEST(Metrics, BothForms) {
  ServerMetrics metrics;
  metrics.CountRequest("/health", 200);
  metrics.CountRequest("/health", 200);
  metrics.ObserveFirstToken(0.3, 11);
  metrics.CountTokens(1);
  metrics.ObserveTokens(2, 0.04);
  metrics.CountTokens(2);
  metrics.CountGeneration(GenerationEnd::kLength, 4, 1.5);
  MetricsSnapshot snapshot = metrics.Snapshot();
  snapshot.memory = {.gpu_used = int64_t{1} << 30, .gpu_total = int64_t{16} << 30};
  const std::string text = FormatMetricsText(snapshot);
  for (const char* line :
       {"qnext_requests_total{endpoint=\"/health\",status=\"200\"} 2\n", "qnext_generations_total{end=\"length\"} 1\n",
        "qnext_prompt_tokens_total 11\n", "qnext_cached_prompt_tokens_total 4\n", "qnext_generation_tokens_total 3\n",
        "qnext_time_to_first_token_seconds_bucket{le=\"0.5\"} 1\n", "qnext_time_to_first_token_seconds_count 1\n",
        "qnext_inter_token_latency_seconds_bucket{le=\"0.02\"} 2\n", "qnext_gpu_memory_used_bytes 1073741824\n"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line << text;
  }
  const Json json = Json::parse(FormatMetricsJson(snapshot));
  for (const char* field : {"model_loaded", "gpu_memory_used_gb", "gpu_memory_total_gb", "system_memory_used_gb",
                            "avg_tokens_per_second", "total_inferences", "uptime_seconds"}) {
    EXPECT_TRUE(json.contains(field)) << field;
  }
  EXPECT_DOUBLE_EQ(json["avg_tokens_per_second"].get<double>(), 2);
  EXPECT_EQ(json["total_inferences"], 1);
  EXPECT_DOUBLE_EQ(json["gpu_memory_total_gb"].get<double>(), 16);
}

TEST(ProcessMemory, ReadsTheKernelsText) {
  const ProcessMemory memory = ParseProcessStatus("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t  1024 kB\n");
  EXPECT_EQ(memory.resident_bytes, 1024 * 1024);
  EXPECT_EQ(memory.resident_peak_bytes, 2048 * 1024);
  EXPECT_EQ(ParseProcessStatus("VmRSS:").resident_bytes, 0);
  EXPECT_GT(ReadProcessMemory().resident_bytes, 0);
}

TEST(ResponseHead, HasEveryHeader) {
  const HttpResponse response{.status = 429, .headers = {{"Retry-After", "1"}}};
  EXPECT_EQ(FormatResponseHead(response, {.content_length = 5, .keep_alive = false, .now = 784111777}),
            "HTTP/1.1 429 Too Many Requests\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
            "Content-Type: application/json\r\nContent-Length: 5\r\nRetry-After: 1\r\nConnection: close\r\n\r\n");
  EXPECT_NE(FormatResponseHead(SseHead(), {.chunked = true}).find("Transfer-Encoding: chunked\r\n"), std::string::npos);
  EXPECT_EQ(FormatChunk(std::string(17, 'x')), "11\r\n" + std::string(17, 'x') + "\r\n");
  EXPECT_EQ(SseEvent("{}"), "data: {}\n\n");
}

}  // namespace
}  // namespace qnext::server
