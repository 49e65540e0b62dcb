// POST /benchmark over real sockets.
#include <future>
#include <nlohmann/json.hpp>
#include <set>

#include "server/benchmark_run.h"
#include "server/server_fixture.h"

namespace qnext::server {
namespace {

using BenchJson = nlohmann::ordered_json;

class ServerBenchmark : public ServerFixture {
 protected:
  RawResponse Benchmark(std::string_view type, int64_t iterations) {
    return Post("/benchmark", BenchJson{{"test_type", type}, {"iterations", iterations}}.dump());
  }
  void ExpectRefused(std::string_view body, std::string_view message, std::string_view param) {
    const RawResponse response = Post("/benchmark", body);
    EXPECT_EQ(response.status, 400) << body;
    EXPECT_EQ(response.Json()["error"]["message"], message) << body;
    EXPECT_EQ(response.ErrorParam(), param) << body;
  }
};

TEST_F(ServerBenchmark, StandardTakesPromptsInTurn) {
  backend->info.context_length = 1100;
  backend->token_time = std::chrono::milliseconds(1);
  Start();
  const RawResponse response = Benchmark("standard", 5);
  ASSERT_EQ(response.status, 200) << response.body;
  const BenchJson json = response.Json();
  EXPECT_EQ(json["benchmark_type"], "standard");
  EXPECT_EQ(json["iterations"], 5);
  ASSERT_EQ(json["test_prompts"].size(), 5u);
  double sum = 0, least = 1e9, most = 0;
  for (size_t i = 0; i < 5; ++i) {
    const BenchJson& one = json["test_prompts"][i];
    EXPECT_EQ(one["prompt_length"], (std::vector<int>{50, 200, 500, 1000, 50})[i]);
    EXPECT_EQ(one["output_length"], 100);
    const double speed = one["tokens_per_second"];
    EXPECT_GT(speed, 10);
    EXPECT_LT(speed, 1000);  // a token takes a millisecond at least
    sum += speed;
    least = std::min(least, speed);
    most = std::max(most, speed);
  }
  EXPECT_NEAR(json["avg_tokens_per_second"], sum / 5, 1e-6);
  EXPECT_EQ(json["min_tokens_per_second"], least);
  EXPECT_EQ(json["max_tokens_per_second"], most);
  EXPECT_GE(json["p95_tokens_per_second"], least);
  EXPECT_LE(json["p95_tokens_per_second"], most);
  EXPECT_GT(json["avg_memory_usage_gb"], 1);  // the backend says that it has 1 GiB of the GPU
  // A run before those that count, and no prompt twice.
  const std::vector<GenerateRequest> requests = backend->requests();
  ASSERT_EQ(requests.size(), 6u);
  std::set<std::vector<int32_t>> prompts;
  for (const GenerateRequest& request : requests) {
    prompts.insert(request.prompt);
    EXPECT_TRUE(request.ignore_eos);
  }
  EXPECT_EQ(prompts.size(), 6u);
  EXPECT_NE(Get("/metrics").body.find(R"(qnext_requests_total{endpoint="/benchmark",status="200"} 1)"),
            std::string::npos);
}

TEST_F(ServerBenchmark, TenIterationsUnlessAsked) {
  Start();
  const RawResponse response = Post("/benchmark", R"({"test_type":"stress"})");
  ASSERT_EQ(response.status, 200) << response.body;
  const BenchJson json = response.Json();
  EXPECT_EQ(json["iterations"], 10);
  for (const BenchJson& one : json["test_prompts"]) EXPECT_EQ(one["prompt_length"], 200);
}

TEST_F(ServerBenchmark, WhatIsWrongIsNamed) {
  Start();
  ExpectRefused("{}", "test_type: is required", "test_type");
  ExpectRefused(R"({"test_type":"quick"})", "test_type: must be standard, stress or memory", "test_type");
  ExpectRefused(R"({"test_type":"stress","iterations":0})", "iterations: must be an integer from 1 to 100",
                "iterations");
  ExpectRefused(R"({"test_type":"stress","iterations":101})", "iterations: must be an integer from 1 to 100",
                "iterations");
  EXPECT_EQ(Post("/benchmark", R"({"test_type":"stress","speed":9})").status, 400);
  EXPECT_EQ(Get("/benchmark").status, 405);
  EXPECT_EQ(backend->generations_begun, 0);
}

TEST_F(ServerBenchmark, AShortContextHasShortPromptsOrNone) {
  backend->info.context_length = 350;
  Start();
  const BenchJson json = Benchmark("memory", 3).Json();
  ASSERT_EQ(json["test_prompts"].size(), 3u);
  EXPECT_EQ(json["test_prompts"][1]["prompt_length"], 200);
  EXPECT_EQ(json["test_prompts"][2]["prompt_length"], 50);
}

TEST_F(ServerBenchmark, AContextWithoutRoomIsRefused) {
  backend->info.context_length = 120;
  Start();
  ExpectRefused(R"({"test_type":"stress"})", "test_type: stress does not fit a context of 120 tokens", "test_type");
}

TEST_F(ServerBenchmark, ABusyServerRefusesAndABenchmarkKeepsItBusy) {
  backend->token_time = std::chrono::milliseconds(2);
  Start();
  auto first = std::async(std::launch::async, [this] { return Benchmark("stress", 2); });
  ASSERT_TRUE(Eventually([&] { return backend->generations_begun > 0; }));
  const RawResponse second = Benchmark("stress", 1);
  EXPECT_EQ(second.status, 429);
  EXPECT_EQ(second.Json()["error"]["code"], "busy");
  EXPECT_TRUE(second.HeadHas("Retry-After: "));
  EXPECT_EQ(Post("/v1/chat/completions", Chat()).status, 200);  // others wait for their turn
  EXPECT_EQ(first.get().status, 200);
}

TEST_F(ServerBenchmark, AClientThatGoesEndsIt) {
  backend->token_time = std::chrono::milliseconds(2);
  Start();
  {
    RawClient client(port);
    client.SendRequest("POST", "/benchmark", R"({"test_type":"stress","iterations":100})");
    ASSERT_TRUE(Eventually([&] { return backend->generations_begun > 0; }));
  }
  EXPECT_TRUE(Eventually([&] { return backend->generations_ended > 0; }));
  EXPECT_EQ(Post("/v1/chat/completions", Chat()).status, 200);
  EXPECT_LE(backend->generations_begun, 2);
}

TEST_F(ServerBenchmark, ABackendThatFailsIsAnErrorAndTheServerGoesOn) {
  backend->failure = Internal("the device is gone");
  backend->fail_after = 3;
  Start();
  const RawResponse response = Benchmark("stress", 1);
  EXPECT_EQ(response.status, 500);
  EXPECT_NE(response.body.find("the device is gone"), std::string::npos);
  EXPECT_EQ(Get("/health").status, 200);
}

TEST(FormatBenchmarkTest, Figures) {
  std::vector<BenchmarkIteration> iterations;
  for (int i = 1; i <= 21; ++i) iterations.push_back({{200, 100}, i * 1.0, int64_t{i} << 30});
  const BenchJson json = BenchJson::parse(FormatBenchmark(BenchmarkType::kMemory, iterations));
  EXPECT_EQ(json["benchmark_type"], "memory");
  EXPECT_EQ(json["iterations"], 21);
  EXPECT_EQ(json["avg_tokens_per_second"], 11);
  EXPECT_EQ(json["min_tokens_per_second"], 1);
  EXPECT_EQ(json["max_tokens_per_second"], 21);
  EXPECT_EQ(json["p95_tokens_per_second"], 20);
  EXPECT_EQ(json["avg_memory_usage_gb"], 11);
}

}  // namespace
}  // namespace qnext::server
