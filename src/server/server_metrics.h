// What the server counts. docs/http-api.md lists the names and what they mean.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/backend.h"
#include "server/histogram.h"
#include "server/process_memory.h"

namespace qnext::server {

enum class GenerationEnd { kStop, kLength, kCancelled, kError };

// A copy of all figures at one moment.
struct MetricsSnapshot {
  std::map<std::pair<std::string, int>, int64_t> requests{};  // (endpoint, HTTP status)
  std::map<GenerationEnd, int64_t> generations{};
  int64_t prompt_tokens = 0;
  int64_t cached_prompt_tokens = 0;
  int64_t completion_tokens = 0;
  double generation_seconds = 0;                 // inside the backend, prompts included
  std::optional<int64_t> last_inference_unix{};  // when the last generation ended, whatever its end
  Histogram queue_wait;
  Histogram first_token;
  Histogram inter_token;
  // The rest is filled in by who asks.
  int64_t queue_length = 0;
  int64_t running = 0;
  double uptime_seconds = 0;
  bool model_loaded = false;
  ProcessMemory process{};
  MemoryUse memory{};
  std::vector<BackendMetric> backend{};
};

// Thread-safe. Seconds everywhere.
class ServerMetrics {
 public:
  ServerMetrics();

  // `endpoint` is one of the server's own paths or "other", so that strangers cannot grow the table.
  void CountRequest(std::string_view endpoint, int status);
  void ObserveQueueWait(double seconds);
  // From the request's arrival to its first token; `prompt_tokens` were read for it.
  void ObserveFirstToken(double seconds, int64_t prompt_tokens);
  // `tokens` that came `seconds` after those before them.
  void ObserveTokens(int64_t tokens, double seconds);
  void CountTokens(int64_t tokens);
  void CountGeneration(GenerationEnd end, int64_t cached_prompt_tokens, double seconds);

  MetricsSnapshot Snapshot() const;

 private:
  mutable std::mutex mutex_;
  MetricsSnapshot figures_;  // guarded by mutex_
};

std::string FormatMetricsText(const MetricsSnapshot& metrics);
std::string FormatMetricsJson(const MetricsSnapshot& metrics);

}  // namespace qnext::server
