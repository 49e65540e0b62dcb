// Clients that leave, queues that fill, and the end of the server.
#include <future>
#include <nlohmann/json.hpp>
#include <vector>

#include "server/server_fixture.h"

namespace qnext::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

class ServerLifecycle : public ServerFixture {
 protected:
  // One token every 20 ms, 2000 of them: 40 s unless somebody stops it.
  void SlowBackend() {
    backend->reply = std::string(5000, 'x');
    backend->token_time = milliseconds(20);
  }

  // A request in the engine that has produced some tokens.
  std::unique_ptr<RawClient> Running(std::string_view more = {}) {
    const int64_t begun = backend->generations_begun;
    const int64_t tokens = backend->tokens_generated;
    auto client = std::make_unique<RawClient>(port);
    client->SendRequest("POST", "/v1/chat/completions", Chat(more));
    EXPECT_TRUE(
        Eventually([&] { return backend->generations_begun > begun && backend->tokens_generated >= tokens + 3; }));
    return client;
  }

  std::unique_ptr<RawClient> Waiting() {
    auto client = std::make_unique<RawClient>(port);
    client->SendRequest("POST", "/v1/chat/completions", Chat());
    return client;
  }

  bool QueueLengthIs(int length) {
    return Eventually([&] { return Get("/metrics", "Accept: application/json\r\n").Json()["queue_length"] == length; });
  }

  // The generation ends with at most one more token after `leave`. The token being made when the client leaves, and
  // the one being made while the news travels, are the two allowed.
  template <typename Leave>
  void ExpectStop(Leave leave) {
    const int64_t before = backend->tokens_generated;
    leave();
    ASSERT_TRUE(Eventually([&] { return backend->generations_ended == backend->generations_begun; }));
    EXPECT_LE(backend->tokens_generated - before, 2);
  }
};

// Before, they waited for a worker thread.
TEST_F(ServerLifecycle, StateIsToldWhileEveryWorkerTokenizes) {
  backend->hold_tokenize = true;
  Start();
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 4; ++i) clients.push_back(Waiting());
  ASSERT_TRUE(Eventually([&] { return backend->tokenize_begun == options.limits.worker_threads; }));
  for (const char* path : {"/health", "/metrics", "/v1/models", "/v1/models/fake-model"}) {
    EXPECT_EQ(Get(path).status, 200) << path;
  }
  EXPECT_EQ(Fetch(port, "HEAD", "/health").status, 200);
  EXPECT_EQ(backend->tokenize_ended, 0) << "a worker was waited for";
  backend->hold_tokenize = false;
  for (const auto& client : clients) EXPECT_EQ(client->Read().status, 200);
}

TEST_F(ServerLifecycle, AVanishedClientStopsItsGeneration) {
  SlowBackend();
  Start();
  for (const char* more : {"", R"(,"stream":true)"}) {
    SCOPED_TRACE(more);
    auto client = Running(more);
    ExpectStop([&] { client->Close(); });
    client = Running(more);
    ExpectStop([&] { client->Reset(); });
  }
  EXPECT_TRUE(Eventually([&] {
    return Get("/metrics").body.find("qnext_generations_total{end=\"cancelled\"} 4\n") != std::string::npos;
  }));
  EXPECT_TRUE(Eventually([&] { return Get("/metrics").body.find("status=\"499\"} 2\n") != std::string::npos; }));
}

TEST_F(ServerLifecycle, AHalfClosedClientIsTakenForGone) {
  SlowBackend();
  Start();
  const auto client = Running();
  ExpectStop([&] { client->CloseSending(); });
  EXPECT_EQ(client->Read().status, 499);
}

TEST_F(ServerLifecycle, AClientThatVanishesWhileItsPromptIsRead) {
  backend->prompt_time = seconds(40);
  Start();
  RawClient client(port);
  client.SendRequest("POST", "/v1/chat/completions", Chat());
  ASSERT_TRUE(Eventually([&] { return backend->generations_begun == 1; }));
  ExpectStop([&] { client.Close(); });
  EXPECT_EQ(backend->tokens_generated, 0);
}

TEST_F(ServerLifecycle, AClientThatDoesNotReadIsTakenForGone) {
  options.limits.max_unsent_bytes = 1 << 20;
  backend->reply = std::string(5000, 'x');
  backend->info.context_length = int64_t{1} << 40;
  Start();
  RawClient client(port);
  client.SendRequest("POST", "/v1/chat/completions", Chat(R"(,"stream":true,"ignore_eos":true)"));
  EXPECT_TRUE(Eventually([&] { return backend->generations_ended == 1; }));
}

TEST_F(ServerLifecycle, QueuedRequestsOfVanishedClientsAreDropped) {
  SlowBackend();
  Start();
  const auto running = Running();
  auto waiting = Waiting();
  ASSERT_TRUE(QueueLengthIs(1));
  waiting->Close();
  std::this_thread::sleep_for(milliseconds(100));
  running->Close();
  ASSERT_TRUE(QueueLengthIs(0));
  ASSERT_TRUE(Eventually([&] { return backend->generations_ended == 1; }));
  EXPECT_EQ(backend->generations_begun, 1);
}

TEST_F(ServerLifecycle, BeyondTheQueueIs429) {
  options.queue = 2;
  SlowBackend();
  Start();
  const auto running = Running();
  auto first = Waiting();
  const auto second = Waiting();
  ASSERT_TRUE(QueueLengthIs(2));
  const RawResponse refused = Post("/v1/chat/completions", Chat());
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(refused.Json()["error"]["type"], "rate_limit_error");
  EXPECT_EQ(refused.Json()["error"]["code"], "queue_full");
  EXPECT_TRUE(refused.HeadHas("Retry-After: "));
  EXPECT_EQ(Post("/inference", R"({"prompt":"x"})").status, 429);
  EXPECT_EQ(Post("/tokenize", R"({"content":"x"})").status, 200);  // needs no engine
  // A place given up is a place free.
  first->Close();
  std::this_thread::sleep_for(milliseconds(100));
  const auto third = Waiting();
  EXPECT_TRUE(QueueLengthIs(2));
}

TEST_F(ServerLifecycle, WithoutAQueueOnlyOneIsServed) {
  options.queue = 0;
  SlowBackend();
  Start();
  auto running = Running();
  EXPECT_EQ(Post("/v1/chat/completions", Chat()).status, 429);
  ExpectStop([&] { running->Close(); });
  running = Running();
}

TEST_F(ServerLifecycle, ConcurrentRequestsAllGetTheirOwnAnswer) {
  options.queue = 1000;
  options.concurrency = 3;
  Start();
  std::vector<std::future<void>> threads;
  threads.reserve(8);
  for (int t = 0; t < 8; ++t) {
    threads.push_back(std::async(std::launch::async, [this, t] {
      RawClient client(port);
      for (int i = 0; i < 20; ++i) {
        const std::string prompt(static_cast<size_t>(t * 20 + i + 1), 'p');
        client.SendRequest("POST", "/v1/completions",
                           R"({"prompt":")" + prompt + R"(","echo":true,"max_tokens":1,"stream":)" +
                               (i % 2 == 0 ? "true}" : "false}"));
        const RawResponse response = client.Read();
        ASSERT_EQ(response.status, 200);
        std::string text;
        if (i % 2 == 0) {
          for (const auto& chunk : response.Chunks()) text += chunk["choices"][0]["text"].get<std::string>();
        } else {
          text = response.Json()["choices"][0]["text"].get<std::string>();
        }
        ASSERT_EQ(text, prompt + "T");
      }
    }));
  }
  for (auto& thread : threads) thread.get();
}

TEST_F(ServerLifecycle, ShutdownRefusesWhatWaitsAndLetsAShortRequestFinish) {
  backend->reply = std::string(10, 'x');
  backend->token_time = milliseconds(40);
  Start();
  const auto running = Running();
  const auto waiting = Waiting();
  ASSERT_TRUE(QueueLengthIs(1));
  auto shutdown = std::async(std::launch::async, [&] { server->Shutdown(); });
  const RawResponse refused = waiting->Read();
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.Json()["error"]["code"], "shutting_down");
  EXPECT_TRUE(refused.HeadHas("Connection: close"));
  EXPECT_EQ(running->Read().status, 200);
  ASSERT_EQ(shutdown.wait_for(seconds(10)), std::future_status::ready);
  EXPECT_FALSE(RawClient(port).connected());
}

TEST_F(ServerLifecycle, ShutdownCancelsALongRequestAfterTheGrace) {
  options.shutdown_grace = milliseconds(200);
  SlowBackend();
  for (const bool stream : {false, true}) {
    Start();
    const auto running = Running(stream ? R"(,"stream":true)" : "");
    RawClient idle(port);
    RawClient keep_alive(port);
    keep_alive.SendRequest("GET", "/health");
    EXPECT_EQ(keep_alive.Read().status, 200);
    const auto start = steady_clock::now();
    auto shutdown = std::async(std::launch::async, [&] { server->Shutdown(); });
    const RawResponse response = running->Read();
    if (stream) {
      EXPECT_EQ(response.status, 200);
      EXPECT_EQ(response.Chunks().back()["error"]["code"], "shutting_down");
      EXPECT_EQ(response.Events().back(), "[DONE]");
    } else {
      EXPECT_EQ(response.status, 503);
    }
    running->Close();
    ASSERT_EQ(shutdown.wait_for(seconds(10)), std::future_status::ready);
    EXPECT_LT(steady_clock::now() - start, seconds(5));
    EXPECT_TRUE(idle.WaitForClose());
    EXPECT_TRUE(keep_alive.WaitForClose());
  }
}

TEST_F(ServerLifecycle, NewRequestsDuringShutdownAre503) {
  options.shutdown_grace = milliseconds(500);
  SlowBackend();
  Start();
  const auto running = Running();
  RawClient open(port);
  open.SendRequest("GET", "/health");
  EXPECT_EQ(open.Read().status, 200);
  RawClient health(port);
  health.SendRequest("GET", "/health");
  EXPECT_EQ(health.Read().status, 200);
  auto shutdown = std::async(std::launch::async, [&] { server->Shutdown(); });
  ASSERT_TRUE(Eventually([&] { return !RawClient(port).connected(); }));
  open.SendRequest("POST", "/v1/chat/completions", Chat());
  const RawResponse refused = open.Read();
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.Json()["error"]["code"], "shutting_down");
  EXPECT_TRUE(refused.HeadHas("Connection: close"));
  health.SendRequest("GET", "/health");
  EXPECT_EQ(health.Read().Json()["status"], "shutting_down");
  running->Close();
  EXPECT_EQ(shutdown.wait_for(seconds(10)), std::future_status::ready);
}

TEST_F(ServerLifecycle, StartAndStopManyTimes) {
  for (int i = 0; i < 20; ++i) {
    Start();
    RawClient client(port);
    if (i % 2 == 0) client.SendRequest("POST", "/v1/chat/completions", Chat(R"(,"stream":true)"));
    if (i % 3 == 0) server->Shutdown();
    server.reset();
  }
}

}  // namespace
}  // namespace qnext::server
