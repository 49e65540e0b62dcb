#include "server/format_info.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "server/format_parts.h"
#include "server/json_text.h"

namespace qnext::server {
namespace {

using Json = nlohmann::ordered_json;

Json ModelJson(const ModelInfo& model) {
  return {{"id", model.id},
          {"object", "model"},
          {"created", model.created_unix},
          {"owned_by", "qnext"},
          {"context_length", model.context_length}};
}

std::string_view StateName(HealthReport::State state) {
  switch (state) {
    case HealthReport::State::kOk:
      return "ok";
    case HealthReport::State::kLoading:
      return "loading";
    case HealthReport::State::kUnhealthy:
      return "unhealthy";
    case HealthReport::State::kShuttingDown:
      return "shutting_down";
  }
  return "unhealthy";
}

Json PieceJson(const std::string& bytes) {
  if (IsUtf8(bytes)) return bytes;
  Json out = Json::array();
  for (const char c : bytes) out.push_back(static_cast<unsigned char>(c));
  return out;
}

}  // namespace

std::string FormatModels(const ModelInfo& model) {
  return ToText({{"object", "list"}, {"data", Json::array({ModelJson(model)})}});
}

std::string FormatModel(const ModelInfo& model) { return ToText(ModelJson(model)); }

std::string FormatExpertCache(const ExpertCacheState& state) {
  return ToText({{"expert_cache_bytes", state.bytes},
                 {"planned_bytes", state.planned_bytes},
                 {"experts", state.experts},
                 {"planned_experts", state.planned_experts},
                 {"chunk_bytes", state.chunk_bytes}});
}

std::string FormatTokens(std::span<const int32_t> tokens, const std::optional<std::vector<std::string>>& pieces) {
  Json list = Json::array();
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (pieces) {
      list.push_back({{"id", tokens[i]}, {"piece", PieceJson((*pieces)[i])}});
    } else {
      list.push_back(tokens[i]);
    }
  }
  return ToText({{"tokens", std::move(list)}, {"count", tokens.size()}});
}

std::string FormatContent(const std::string& content) { return ToText({{"content", content}}); }

std::string FormatPrompt(const std::string& prompt) { return ToText({{"prompt", prompt}}); }

HealthReport MakeHealthReport(const ModelState& model, bool shutting_down, std::optional<int64_t> last_inference_unix) {
  HealthReport report{.gpu_available = model.progress.gpu_available,
                      .memory_sufficient = model.progress.memory_sufficient,
                      .last_inference_unix = last_inference_unix,
                      .progress = model.progress};
  Status problem = model.failure;
  if (model.backend != nullptr) {
    const BackendHealth health = model.backend->Health();
    report.gpu_available = health.gpu_available;
    report.memory_sufficient = health.memory_sufficient;
    problem = health.status;
  }
  if (shutting_down) {
    report.state = HealthReport::State::kShuttingDown;
  } else if (!problem.ok()) {
    report.state = HealthReport::State::kUnhealthy;
    report.problem = problem.message();
  } else {
    report.state = model.backend == nullptr ? HealthReport::State::kLoading : HealthReport::State::kOk;
  }
  return report;
}

std::string FormatHealth(const HealthReport& report) {
  Json out = {{"status", StateName(report.state)},
              {"model_ready", report.state == HealthReport::State::kOk},
              {"gpu_available", report.gpu_available},
              {"memory_sufficient", report.memory_sufficient}};
  out["last_inference"] = report.last_inference_unix ? Json(FormatUtc(*report.last_inference_unix)) : Json();
  if (report.state == HealthReport::State::kLoading) {
    out["progress"] = {{"stage", report.progress.stage}, {"fraction", report.progress.fraction}};
  }
  if (!report.problem.empty()) out["problem"] = report.problem;
  return ToText(out);
}

}  // namespace qnext::server
