// The HTTP API: from requests to answers and jobs for the engine. Knows nothing of sockets.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "server/answer_sink.h"
#include "server/api_error.h"
#include "server/api_types.h"
#include "server/backend.h"
#include "server/generation_job.h"
#include "server/http_types.h"
#include "server/job_queue.h"
#include "server/model_slot.h"
#include "server/routes.h"
#include "server/server_metrics.h"

namespace qnext::server {

// Thread-safe. `queue`, `model` and `metrics` must outlive it.
class Api final : public HttpHandler {
 public:
  Api(std::vector<std::string> api_keys, JobQueue& queue, const ModelSlot& model, ServerMetrics& metrics);

  std::optional<HttpResponse> CheckHead(const HttpRequest& head) override;
  bool IsQuick(const HttpRequest& request) const override;
  void Handle(HttpRequest request, std::shared_ptr<HttpExchange> exchange) override;
  HttpResponse TransportError(int status, std::string_view message) override;

  // From now on everything but /health and /metrics is answered with 503.
  void RefuseNewRequests() { refusing_ = true; }

 private:
  // One request on its way to an answer.
  struct Call {
    const HttpRequest& request;
    const RouteMatch& match;
    std::shared_ptr<Backend> backend{};  // null only where the route does not need it
    std::shared_ptr<HttpExchange> exchange{};
    std::chrono::steady_clock::time_point arrival{};
  };

  std::optional<HttpResponse> CheckCall(const HttpRequest& head) const;
  std::optional<HttpResponse> CheckModel() const;

  // The answer, or nullopt when a job will give it (api_generate.cc).
  std::optional<HttpResponse> Answer(const Call& call);
  std::optional<HttpResponse> ChatCompletions(const Call& call);
  std::optional<HttpResponse> Completions(const Call& call);
  std::optional<HttpResponse> Inference(const Call& call);
  std::optional<HttpResponse> Benchmark(const Call& call);
  HttpResponse Tokenize(const Call& call) const;
  HttpResponse Detokenize(const Call& call) const;
  HttpResponse ApplyTemplate(const Call& call) const;
  HttpResponse Vram(const Call& call) const;  // api_admin.cc, as the next
  std::optional<HttpResponse> SetVram(const Call& call);
  HttpResponse Health() const;
  HttpResponse Metrics(const Call& call) const;

  struct Submission {
    GenerationWork work{};
    std::unique_ptr<AnswerFormat> format{};
    bool stream = false;
    bool logprobs = false;
  };
  std::optional<HttpResponse> Submit(const Call& call, Submission submission);
  AnswerHead MakeHead(const Call& call, std::string_view prefix, const GenerationFields& fields);
  ApiError QueueFull() const;
  uint64_t NextRandom();

  const std::vector<std::string> api_keys_;
  JobQueue& queue_;
  const ModelSlot& model_;
  ServerMetrics& metrics_;
  const std::chrono::steady_clock::time_point start_;
  const uint64_t random_base_;
  std::atomic<uint64_t> random_count_{0};
  std::atomic<bool> refusing_{false};
};

}  // namespace qnext::server
