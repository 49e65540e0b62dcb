// /admin/vram over real sockets.
#include <future>
#include <nlohmann/json.hpp>

#include "server/api.h"
#include "server/server_fixture.h"

namespace qnext::server {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kChunk = int64_t{64} << 20;

class ServerAdmin : public ServerFixture {
 protected:
  void StartWithCache() {
    backend->expert_cache = {.bytes = 4 * kChunk,
                             .planned_bytes = 4 * kChunk,
                             .experts = 160,
                             .planned_experts = 160,
                             .chunk_bytes = kChunk};
    Start();
  }
  static std::string Bytes(int64_t bytes) { return Json{{"expert_cache_bytes", bytes}}.dump(); }
  void ExpectRefused(std::string_view body, std::string_view message, std::string_view param) {
    const RawResponse response = Post("/admin/vram", body);
    EXPECT_EQ(response.status, 400) << body;
    const Json error = response.Json()["error"];
    EXPECT_NE(error["message"].get<std::string>().find(message), std::string::npos) << error;
    EXPECT_EQ(error["param"], param) << body;
  }
};

TEST_F(ServerAdmin, TheCacheShrinksAndGrows) {
  StartWithCache();
  Json state = Get("/admin/vram").Json();
  EXPECT_EQ(state["expert_cache_bytes"], 4 * kChunk);
  EXPECT_EQ(state["planned_bytes"], 4 * kChunk);
  EXPECT_EQ(state["experts"], 160);
  EXPECT_EQ(state["planned_experts"], 160);
  EXPECT_EQ(state["chunk_bytes"], kChunk);
  const RawResponse less = Post("/admin/vram", Bytes(kChunk + 5));
  ASSERT_EQ(less.status, 200) << less.body;
  EXPECT_EQ(less.Json()["expert_cache_bytes"], kChunk);
  EXPECT_EQ(Post("/admin/vram", Bytes(0)).Json()["expert_cache_bytes"], 0);
  EXPECT_EQ(Post("/admin/vram", Bytes(4 * kChunk)).Json()["expert_cache_bytes"], 4 * kChunk);
  EXPECT_EQ(Get("/admin/vram").Json()["expert_cache_bytes"], 4 * kChunk);
}

TEST_F(ServerAdmin, WhatIsWrongIsNamed) {
  StartWithCache();
  ExpectRefused("{}", "is required", "expert_cache_bytes");
  ExpectRefused(Bytes(-1), "expert_cache_bytes", "expert_cache_bytes");
  ExpectRefused(Bytes(4 * kChunk + 1), "268435456", "expert_cache_bytes");
  ExpectRefused(R"({"expert_cache_bytes":"1GiB"})", "expert_cache_bytes", "expert_cache_bytes");
  ExpectRefused(R"({"expert_cache_bytes":1.5})", "expert_cache_bytes", "expert_cache_bytes");
  ExpectRefused(R"({"expert_cache_bytes":0,"experts":3})", "experts", "experts");
  EXPECT_EQ(Get("/admin/vram").Json()["expert_cache_bytes"], 4 * kChunk);
}

TEST_F(ServerAdmin, AModelWithoutACacheSaysSo) {
  Start();
  for (const RawResponse& response : {Get("/admin/vram"), Post("/admin/vram", Bytes(0))}) {
    EXPECT_EQ(response.status, 409);
    EXPECT_EQ(response.Json()["error"]["code"], "no_expert_cache");
  }
}

TEST_F(ServerAdmin, MemoryThatIsNotThereIsAnErrorAndTheServerGoesOn) {
  backend->cache_failure = ResourceExhausted("GPU memory: 64.00 MiB of slots for experts do not fit");
  StartWithCache();
  const RawResponse response = Post("/admin/vram", Bytes(4 * kChunk));
  EXPECT_EQ(response.status, 503);
  EXPECT_NE(response.body.find("slots for experts"), std::string::npos) << response.body;
  EXPECT_EQ(Post("/v1/chat/completions", Chat()).status, 200);
}

TEST_F(ServerAdmin, ARunningGenerationGivesMemoryBackBetweenItsSteps) {
  backend->token_time = std::chrono::milliseconds(5);
  options.queue = 0;  // no place to wait in
  StartWithCache();
  auto answer = std::async(std::launch::async, [&] {
    return Post("/v1/completions", R"({"prompt":"a","max_tokens":300,"ignore_eos":true})");
  });
  ASSERT_TRUE(Eventually([&] { return backend->tokens_generated > 2; }));
  const RawResponse response = Post("/admin/vram", Bytes(0));
  EXPECT_EQ(response.status, 200) << response.body;
  EXPECT_EQ(response.Json()["expert_cache_bytes"], 0);
  EXPECT_EQ(backend->generations_ended, 0);
  EXPECT_EQ(answer.get().status, 200);
}

TEST(ServerAdminApi, OtherMachinesAreRefused) {
  JobQueue queue(1, 1);
  const ModelSlot model;
  ServerMetrics metrics;
  Api api({}, queue, model, metrics);
  for (const std::string method : {"GET", "POST"}) {
    const HttpRequest request{
        .method = method, .path = "/admin/vram", .headers = {{"Content-Type", "application/json"}}};
    const std::optional<HttpResponse> refusal = api.CheckHead(request);
    ASSERT_TRUE(refusal.has_value());
    EXPECT_EQ(refusal->status, 403) << method;
  }
}

}  // namespace
}  // namespace qnext::server
