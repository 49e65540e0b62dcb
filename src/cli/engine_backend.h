// EngineBackend: the engine as the HTTP server sees it.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "server/backend.h"

namespace qnext {

// Thread-safe as Backend asks: everything but Generate reads only what is constant after loading, or what the last
// Generate left.
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
  server::BackendHealth Health() const override { return {}; }
  server::MemoryUse Memory() const override { return {}; }
  std::vector<server::BackendMetric> Metrics() const override;

 private:
  std::unique_ptr<Engine> engine_;
  server::ModelInfo info_;
  mutable std::mutex mutex_;
  std::optional<ExpertStats> expert_stats_;  // behind mutex_; as the last Generate left them
};

}  // namespace qnext
