// The answers of the endpoints that generate nothing. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "server/backend.h"
#include "server/model_slot.h"

namespace qnext::server {

std::string FormatModels(const ModelInfo& model);  // {"object": "list", "data": [model]}
std::string FormatModel(const ModelInfo& model);   // {"id", "object", "created", "owned_by", "context_length"}

// {"tokens", "count"}; with `pieces` (the bytes of each token) "tokens" is [{"id", "piece"}], a piece that is not whole
// characters being an array of its bytes.
std::string FormatTokens(std::span<const int32_t> tokens, const std::optional<std::vector<std::string>>& pieces);
std::string FormatContent(const std::string& content);  // {"content"}
std::string FormatPrompt(const std::string& prompt);    // {"prompt"}

// {"expert_cache_bytes", "planned_bytes", "experts", "planned_experts", "chunk_bytes"}
std::string FormatExpertCache(const ExpertCacheState& state);

struct HealthReport {
  enum class State { kOk, kLoading, kUnhealthy, kShuttingDown };
  State state = State::kLoading;
  bool gpu_available = false;
  bool memory_sufficient = true;
  std::optional<int64_t> last_inference_unix{};
  LoadProgress progress{};  // shown while loading
  std::string problem{};    // shown when unhealthy
};

HealthReport MakeHealthReport(const ModelState& model, bool shutting_down, std::optional<int64_t> last_inference_unix);
std::string FormatHealth(const HealthReport& report);

}  // namespace qnext::server
