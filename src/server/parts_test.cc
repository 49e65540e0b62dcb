// Routes, keys, the queue, and the checks between parsing and generating.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "server/auth.h"
#include "server/fake_backend.h"
#include "server/job_queue.h"
#include "server/request_checks.h"
#include "server/routes.h"

namespace qnext::server {
namespace {

using std::chrono::milliseconds;

TEST(Routes, FindsEndpointsByMethodAndPath) {
  const auto endpoint = [](std::string_view method, std::string_view path) {
    return std::get<RouteMatch>(MatchRoute(method, path)).route->endpoint;
  };
  EXPECT_EQ(endpoint("POST", "/v1/chat/completions"), Endpoint::kChatCompletions);
  EXPECT_EQ(endpoint("GET", "/v1/models"), Endpoint::kModels);
  EXPECT_EQ(endpoint("HEAD", "/health"), Endpoint::kHealth);
  EXPECT_EQ(endpoint("HEAD", "/admin/vram"), Endpoint::kVram);
  EXPECT_EQ(endpoint("POST", "/admin/vram"), Endpoint::kSetVram);
  const auto match = std::get<RouteMatch>(MatchRoute("GET", "/v1/models/Qwen/Qwen3%2dNext"));
  EXPECT_EQ(match.route->endpoint, Endpoint::kModel);
  EXPECT_EQ(match.argument, "Qwen/Qwen3-Next");
}

TEST(Routes, AnswersWhatHasNone) {
  const auto response = [](std::string_view method, std::string_view path) {
    return std::get<HttpResponse>(MatchRoute(method, path));
  };
  EXPECT_EQ(response("GET", "/").status, 404);
  EXPECT_EQ(response("GET", "/v1/models/").status, 404);
  EXPECT_EQ(response("GET", "/v1/models/%4").status, 404);
  EXPECT_EQ(response("GET", "/v1/models/%zz").status, 404);
  EXPECT_EQ(response("GET", "/v1/chat/completions/").status, 404);
  const HttpResponse wrong = response("GET", "/v1/chat/completions");
  EXPECT_EQ(wrong.status, 405);
  EXPECT_EQ(wrong.headers.at(0).value, "POST, OPTIONS");
  EXPECT_EQ(response("BREW", "/health").status, 405);
  EXPECT_EQ(response("PUT", "/admin/vram").headers.at(0).value, "GET, HEAD, POST, OPTIONS");
  const HttpResponse options = response("OPTIONS", "/health");
  EXPECT_EQ(options.status, 204);
  EXPECT_EQ(options.headers.at(0).value, "GET, HEAD, OPTIONS");
  EXPECT_EQ(EndpointLabel("/v1/models/x"), "/v1/models/{id}");
  EXPECT_EQ(EndpointLabel("/anything"), "other");
}

TEST(Auth, AcceptsOnlyItsKeys) {
  const std::vector<std::string> keys{"secret", "other-key"};
  EXPECT_TRUE(IsAuthorized("Bearer secret", keys));
  EXPECT_TRUE(IsAuthorized("bearer other-key ", keys));
  for (const char* wrong : {"", "Bearer", "Bearer ", "secret", "Bearer secre", "Bearer secrets", "Bearer secretsecret",
                            "Basic secret", "Bearer secret other-key", "Bearer SECRET"}) {
    EXPECT_FALSE(IsAuthorized(wrong, keys)) << wrong;
  }
}

TEST(Auth, ReadsKeyFiles) {
  const std::string path = testing::TempDir() + "qnext_keys_" + std::to_string(getpid());
  std::ofstream(path) << "# comment\n\n  one \r\ntwo";
  const auto keys = ReadApiKeys(path);
  ASSERT_TRUE(keys.ok());
  EXPECT_EQ(*keys, (std::vector<std::string>{"one", "two"}));
  std::ofstream(path, std::ios::trunc) << "# nothing\n";
  EXPECT_FALSE(ReadApiKeys(path).ok());
  std::filesystem::remove(path);
  EXPECT_FALSE(ReadApiKeys(path).ok());
}

TEST(Checks, FitsTheAnswerIntoTheContext) {
  ModelInfo model;
  model.context_length = 10;
  GenerateRequest request;
  request.prompt.assign(7, 1);
  EXPECT_FALSE(FitContext(request, "prompt", {}, model));
  EXPECT_EQ(request.max_tokens, 3);
  EXPECT_FALSE(FitContext(request, "prompt", 2, model));
  EXPECT_EQ(request.max_tokens, 2);
  EXPECT_FALSE(FitContext(request, "prompt", 100, model));
  EXPECT_EQ(request.max_tokens, 3);
  request.prompt.assign(10, 1);
  EXPECT_FALSE(FitContext(request, "prompt", 0, model));
  const auto error = FitContext(request, "prompt", 1, model);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->http_status, 400);
  EXPECT_EQ(error->code, "context_length_exceeded");
  EXPECT_NE(error->message.find("10 tokens do not fit the context of 10"), std::string::npos) << error->message;
}

TEST(Checks, PromptsMustHoldKnownTokens) {
  const FakeBackend backend;
  EXPECT_EQ(ReadPrompt(std::string(""), "prompt", {}, backend).error().param, "prompt");
  EXPECT_EQ(ReadPrompt(TokenIds{}, "prompt[3]", {}, backend).error().param, "prompt[3]");
  EXPECT_EQ(ReadPrompt(TokenIds{1, 258}, "prompt", {}, backend).error().param, "prompt[1]");
  EXPECT_EQ(*ReadPrompt(TokenIds{1, 257}, "prompt", {}, backend), (TokenIds{1, 257}));
  EXPECT_EQ(*ReadPrompt(std::string("<|im_end|>a"), "prompt", {}, backend), (TokenIds{257, 97}));
  EXPECT_EQ(*EchoText(TokenIds{257, 97}, backend), "<|im_end|>a");
}

// What the jobs of a test did, in order.
struct JobLog {
  std::mutex mutex;
  std::vector<std::string> lines;
  void Add(const std::string& line) {
    const std::lock_guard lock(mutex);
    lines.push_back(line);
  }
  std::vector<std::string> Lines() {
    const std::lock_guard lock(mutex);
    return lines;
  }
};

class ScriptedJob final : public Job {
 public:
  ScriptedJob(std::string name, JobLog& log, std::function<void(const std::atomic<bool>&)> run)
      : name_(std::move(name)), log_(log), run_(std::move(run)) {}
  void Run(const std::atomic<bool>& cancel) override {
    run_(cancel);
    log_.Add(name_ + (cancel ? " cancelled" : " ran"));
  }
  void Refuse(Refusal why, const std::string& detail) override {
    log_.Add(name_ + (why == Refusal::kShuttingDown ? " refused"
                      : why == Refusal::kAbandoned  ? " abandoned"
                                                    : " failed: " + detail));
  }
  bool abandoned() const override { return is_abandoned; }
  std::atomic<bool> is_abandoned{false};

 private:
  std::string name_;
  JobLog& log_;
  std::function<void(const std::atomic<bool>&)> run_;
};

void WaitFor(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!condition()) {
    ASSERT_LT(std::chrono::steady_clock::now(), end) << "waited 10 s in vain";
    std::this_thread::sleep_for(milliseconds(1));
  }
}

class JobQueueTest : public testing::Test {
 protected:
  JobQueue::Submitted Submit(const std::string& name, std::function<void(const std::atomic<bool>&)> run) {
    auto job = std::make_unique<ScriptedJob>(name, log, std::move(run));
    last = job.get();
    std::unique_ptr<Job> base = std::move(job);
    return queue.Submit(base);
  }
  JobLog log;
  ScriptedJob* last = nullptr;
  std::atomic<bool> release{false};
  const std::function<void(const std::atomic<bool>&)> until_released = [this](const std::atomic<bool>& cancel) {
    while (!release && !cancel) std::this_thread::sleep_for(milliseconds(1));
  };
  JobQueue queue{1, 2};
};

TEST_F(JobQueueTest, RunsInOrderAndIsBounded) {
  ASSERT_EQ(Submit("a", until_released), JobQueue::Submitted::kAccepted);
  ASSERT_EQ(Submit("b", until_released), JobQueue::Submitted::kAccepted);
  ASSERT_EQ(Submit("c", until_released), JobQueue::Submitted::kAccepted);
  EXPECT_EQ(Submit("d", until_released), JobQueue::Submitted::kFull);
  WaitFor([&] { return queue.running() == 1; });
  EXPECT_EQ(queue.waiting(), 2);
  release = true;
  WaitFor([&] { return log.Lines().size() == 3; });
  EXPECT_EQ(log.Lines(), (std::vector<std::string>{"a ran", "b ran", "c ran"}));
}

TEST_F(JobQueueTest, ThoseWhoLeftMakeRoom) {
  ASSERT_EQ(Submit("a", until_released), JobQueue::Submitted::kAccepted);
  WaitFor([&] { return queue.running() == 1; });
  ASSERT_EQ(Submit("b", until_released), JobQueue::Submitted::kAccepted);
  last->is_abandoned = true;
  ASSERT_EQ(Submit("c", until_released), JobQueue::Submitted::kAccepted);
  EXPECT_EQ(Submit("d", until_released), JobQueue::Submitted::kAccepted);
  last->is_abandoned = true;
  release = true;
  WaitFor([&] { return log.Lines().size() == 4; });
  EXPECT_EQ(log.Lines(), (std::vector<std::string>{"b abandoned", "a ran", "c ran", "d abandoned"}));
}

TEST_F(JobQueueTest, ShutdownRefusesWhatWaitsAndCancelsWhatRunsAfterTheGrace) {
  ASSERT_EQ(Submit("a", until_released), JobQueue::Submitted::kAccepted);
  WaitFor([&] { return queue.running() == 1; });
  ASSERT_EQ(Submit("b", until_released), JobQueue::Submitted::kAccepted);
  queue.Shutdown(milliseconds(50));
  EXPECT_EQ(log.Lines(), (std::vector<std::string>{"b refused", "a cancelled"}));
  EXPECT_EQ(Submit("c", until_released), JobQueue::Submitted::kClosed);
  queue.Shutdown(milliseconds(50));
}

TEST_F(JobQueueTest, ShutdownLetsAShortJobFinish) {
  ASSERT_EQ(Submit("a", [](const std::atomic<bool>&) { std::this_thread::sleep_for(milliseconds(30)); }),
            JobQueue::Submitted::kAccepted);
  WaitFor([&] { return queue.running() == 1; });
  const auto start = std::chrono::steady_clock::now();
  queue.Shutdown(std::chrono::seconds(60));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
  EXPECT_EQ(log.Lines(), (std::vector<std::string>{"a ran"}));
}

TEST_F(JobQueueTest, AThrowingJobIsRefusedAndTheNextRuns) {
  ASSERT_EQ(Submit("a", [](const std::atomic<bool>&) { throw std::runtime_error("boom"); }),
            JobQueue::Submitted::kAccepted);
  ASSERT_EQ(Submit("b", [](const std::atomic<bool>&) {}), JobQueue::Submitted::kAccepted);
  WaitFor([&] { return log.Lines().size() == 2; });
  EXPECT_EQ(log.Lines(), (std::vector<std::string>{"a failed: boom", "b ran"}));
}

}  // namespace
}  // namespace qnext::server
