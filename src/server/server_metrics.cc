#include "server/server_metrics.h"

#include <array>
#include <chrono>

namespace qnext::server {
namespace {

constexpr std::array kWaitBounds{0.001, 0.01, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0};
constexpr std::array kFirstTokenBounds{0.005, 0.01, 0.025, 0.05, 0.1,  0.25, 0.5,
                                       1.0,   2.5,  5.0,   10.0, 30.0, 60.0, 300.0};
constexpr std::array kInterTokenBounds{0.001, 0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075,
                                       0.1,   0.15,   0.2,   0.3,  0.5,   1.0,  2.5,  5.0};

int64_t UnixNow() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

ServerMetrics::ServerMetrics()
    : figures_{.queue_wait = Histogram(kWaitBounds),
               .first_token = Histogram(kFirstTokenBounds),
               .inter_token = Histogram(kInterTokenBounds)} {}

void ServerMetrics::CountRequest(std::string_view endpoint, int status) {
  const std::lock_guard lock(mutex_);
  ++figures_.requests[{std::string(endpoint), status}];
}

void ServerMetrics::ObserveQueueWait(double seconds) {
  const std::lock_guard lock(mutex_);
  figures_.queue_wait.Observe(seconds);
}

void ServerMetrics::ObserveFirstToken(double seconds, int64_t prompt_tokens) {
  const std::lock_guard lock(mutex_);
  figures_.first_token.Observe(seconds);
  figures_.prompt_tokens += prompt_tokens;
}

void ServerMetrics::ObserveTokens(int64_t tokens, double seconds) {
  const std::lock_guard lock(mutex_);
  figures_.inter_token.Observe(seconds / static_cast<double>(tokens), tokens);
}

void ServerMetrics::CountTokens(int64_t tokens) {
  const std::lock_guard lock(mutex_);
  figures_.completion_tokens += tokens;
}

void ServerMetrics::CountGeneration(GenerationEnd end, int64_t cached_prompt_tokens, double seconds) {
  const std::lock_guard lock(mutex_);
  ++figures_.generations[end];
  figures_.cached_prompt_tokens += cached_prompt_tokens;
  figures_.generation_seconds += seconds;
  figures_.last_inference_unix = UnixNow();
}

MetricsSnapshot ServerMetrics::Snapshot() const {
  const std::lock_guard lock(mutex_);
  return figures_;
}

}  // namespace qnext::server
