// EngineBackend: the engine as the HTTP server sees it.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "server/backend.h"

namespace qnext {

// Thread-safe as Backend asks: everything but Generate and ServeRequests reads only what is constant after loading, or
// what the last Generate left.
class EngineBackend final : public server::Backend {
 public:
  EngineBackend(std::unique_ptr<Engine> engine, int64_t vocab_size);

  const server::ModelInfo& model() const override { return info_; }
  Result<std::vector<int32_t>> Tokenize(std::string_view text, bool parse_special) const override;
  int64_t LeastTokens(std::string_view text) const override { return engine_->tokenizer().LeastTokens(text); }
  Result<std::string> Detokenize(std::span<const int32_t> ids) const override;
  std::string TokenBytes(int32_t id) const override;
  Result<std::string> ApplyTemplate(const nlohmann::ordered_json& variables) const override;
  Result<server::GenerateResult> Generate(const server::GenerateRequest& request,
                                          server::GenerationCallback on_event) override;
  std::optional<server::ExpertCacheState> ExpertCache() const override;
  void RequestExpertCache(int64_t bytes, std::function<void(const Status&)> done) override;
  void ServeRequests() override;
  server::BackendHealth Health() const override { return {}; }
  server::MemoryUse Memory() const override;
  std::vector<server::BackendMetric> Metrics() const override;

 private:
  struct CacheRequest {
    int64_t bytes;
    std::function<void(const Status&)> done;
  };
  void ReadExperts();  // on the thread that has the engine

  std::unique_ptr<Engine> engine_;
  server::ModelInfo info_;
  mutable std::mutex mutex_;
  // Behind mutex_; as the last Generate or request left them.
  std::optional<ExpertStats> expert_stats_;
  std::optional<ExpertCacheMemory> expert_cache_;
  std::vector<CacheRequest> cache_requests_;     // behind mutex_
  std::atomic<bool> has_cache_requests_{false};  // looked at before each step, so without the lock
};

}  // namespace qnext
