// /admin/vram: memory of the expert cache, given back and taken again while the server runs.
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "server/api.h"
#include "server/format_info.h"
#include "server/plain_parse.h"
#include "server/request_checks.h"

namespace qnext::server {
namespace {

ApiError NoExpertCache() {
  return {.http_status = 409,
          .message = "the model has no expert cache in GPU memory: it runs on the CPU, or all its experts fit",
          .code = "no_expert_cache"};
}

// Answers once, whoever comes first: the generation between two of its steps, the job below, or the queue's refusal.
class VramReply {
 public:
  VramReply(std::shared_ptr<Backend> backend, std::shared_ptr<HttpExchange> exchange,
            std::function<void(int status)> on_answer)
      : backend_(std::move(backend)), exchange_(std::move(exchange)), on_answer_(std::move(on_answer)) {}

  void Done(const Status& status) {
    if (!status.ok()) return Send(ErrorResponse(FromStatus(status)));
    Send({.body = FormatExpertCache(*backend_->ExpertCache())});
  }
  void Fail(const ApiError& error) { Send(ErrorResponse(error)); }
  bool client_gone() const { return exchange_->client_gone(); }

 private:
  void Send(HttpResponse response) {
    if (sent_.exchange(true)) return;
    on_answer_(response.status);
    exchange_->Send(std::move(response));
  }

  const std::shared_ptr<Backend> backend_;
  const std::shared_ptr<HttpExchange> exchange_;
  const std::function<void(int status)> on_answer_;
  std::atomic<bool> sent_{false};
};

// Where no generation runs, this gives the backend a thread.
class VramJob final : public Job {
 public:
  VramJob(std::shared_ptr<Backend> backend, std::shared_ptr<VramReply> reply)
      : backend_(std::move(backend)), reply_(std::move(reply)) {}

  void Run(const std::atomic<bool>& /*cancel*/) override { backend_->ServeRequests(); }
  void Refuse(Refusal why, const std::string& detail) override {
    // A client that has gone still has asked: the request waits for the next step.
    if (why == Refusal::kAbandoned) return;
    reply_->Fail(why == Refusal::kShuttingDown ? ShuttingDown() : ApiError{.http_status = 500, .message = detail});
  }
  bool abandoned() const override { return false; }

 private:
  const std::shared_ptr<Backend> backend_;
  const std::shared_ptr<VramReply> reply_;
};

}  // namespace

HttpResponse Api::Vram(const Call& call) const {
  const std::optional<ExpertCacheState> state = call.backend->ExpertCache();
  if (!state) return ErrorResponse(NoExpertCache());
  return {.body = FormatExpertCache(*state)};
}

std::optional<HttpResponse> Api::SetVram(const Call& call) {
  const std::optional<ExpertCacheState> state = call.backend->ExpertCache();
  if (!state) return ErrorResponse(NoExpertCache());
  auto bytes = ParseVramRequest(call.request.body, state->planned_bytes);
  if (!bytes.ok()) return ErrorResponse(bytes.error());
  auto reply = std::make_shared<VramReply>(
      call.backend, call.exchange,
      [this, endpoint = call.match.route->path](int status) { metrics_.CountRequest(endpoint, status); });
  call.backend->RequestExpertCache(*bytes, [reply](const Status& status) { reply->Done(status); });
  std::unique_ptr<Job> job = std::make_unique<VramJob>(call.backend, reply);
  // A full queue is no obstacle: then something runs, and its next step does it.
  if (queue_.Submit(job) == JobQueue::Submitted::kClosed) reply->Fail(ShuttingDown());
  return std::nullopt;
}

}  // namespace qnext::server
