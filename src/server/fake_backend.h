// A backend for the tests: its tokens are bytes and its answers are scripted.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "server/backend.h"

namespace qnext::server {

// Tokens 0..255 are bytes, 256 is <|im_start|>, 257 <|im_end|>. It answers `reply` byte by byte and then ends its turn;
// where a
// request leaves a choice, seed and stream stand before it. A token with a bias of 100 is all that it says. Set the
// script before the server gets it; the counters may be read at any time.
class FakeBackend final : public Backend {
 public:
  static constexpr int32_t kStart = 256;
  static constexpr int32_t kEnd = 257;

  FakeBackend();

  // The script.
  std::string reply = "The capital of France is Paris.";
  std::chrono::microseconds token_time{0};
  std::chrono::microseconds prompt_time{0};  // asks every millisecond whether to go on
  Status failure;                            // returned after `fail_after` tokens if not OK
  int64_t fail_after = 0;
  bool throws = false;
  std::atomic<bool> hold_tokenize{false};  // Tokenize waits while it is set, 10 s at most
  BackendHealth health{.gpu_available = true};
  ModelInfo info;
  std::optional<ExpertCacheState> expert_cache;  // read and written with cache_mutex held
  Status cache_failure;                          // of requests for memory, which then change nothing
  mutable std::mutex cache_mutex;

  // What happened.
  std::atomic<int64_t> tokens_generated{0};
  std::atomic<int64_t> generations_begun{0};
  std::atomic<int64_t> generations_ended{0};
  std::atomic<std::thread::id> generated_on{};
  mutable std::atomic<int64_t> tokenize_begun{0};
  mutable std::atomic<int64_t> tokenize_ended{0};
  std::vector<GenerateRequest> requests() const;

  const ModelInfo& model() const override { return info; }
  Result<std::vector<int32_t>> Tokenize(std::string_view text, bool parse_special) const override;
  int64_t LeastTokens(std::string_view text) const override;
  Result<std::string> Detokenize(std::span<const int32_t> ids) const override;
  std::string TokenBytes(int32_t id) const override;
  Result<std::string> ApplyTemplate(const nlohmann::ordered_json& variables) const override;
  Result<GenerateResult> Generate(const GenerateRequest& request, GenerationCallback on_event) override;
  std::optional<ExpertCacheState> ExpertCache() const override {
    const std::lock_guard lock(cache_mutex);
    return expert_cache;
  }
  void RequestExpertCache(int64_t bytes, std::function<void(const Status&)> done) override;
  void ServeRequests() override;
  BackendHealth Health() const override { return health; }
  MemoryUse Memory() const override { return {.gpu_used = int64_t{1} << 30, .gpu_total = int64_t{16} << 30}; }
  std::vector<BackendMetric> Metrics() const override;

 private:
  std::string Script(const GenerateRequest& request) const;  // what it will say
  Result<GenerateResult> Answer(const GenerateRequest& request, GenerationCallback on_event);

  mutable std::mutex mutex_;
  std::vector<GenerateRequest> requests_;  // guarded by mutex_
  struct CacheRequest {
    int64_t bytes;
    std::function<void(const Status&)> done;
  };
  std::vector<CacheRequest> cache_requests_;  // guarded by cache_mutex
};

}  // namespace qnext::server
