// /metrics, in its two forms.
#include <nlohmann/json.hpp>

#include "server/format_parts.h"
#include "server/json_text.h"
#include "server/prometheus_text.h"
#include "server/server_metrics.h"

namespace qnext::server {
namespace {

using Json = nlohmann::ordered_json;

std::string_view EndName(GenerationEnd end) {
  switch (end) {
    case GenerationEnd::kStop:
      return "stop";
    case GenerationEnd::kLength:
      return "length";
    case GenerationEnd::kCancelled:
      return "cancelled";
    case GenerationEnd::kError:
      return "error";
  }
  return "unknown";
}

int64_t TotalGenerations(const MetricsSnapshot& metrics) {
  int64_t total = 0;
  for (const auto& [end, count] : metrics.generations) total += count;
  return total;
}

double TokensPerSecond(const MetricsSnapshot& metrics) {
  if (metrics.generation_seconds <= 0) return 0;
  return static_cast<double>(metrics.completion_tokens) / metrics.generation_seconds;
}

Json HistogramJson(const Histogram& histogram) {
  const double mean = histogram.count() > 0 ? histogram.sum() / static_cast<double>(histogram.count()) : 0;
  return {{"count", histogram.count()}, {"sum", histogram.sum()}, {"mean", mean}};
}

}  // namespace

std::string FormatMetricsText(const MetricsSnapshot& metrics) {
  using Type = BackendMetric::Type;
  const auto number = [](int64_t value) { return static_cast<double>(value); };
  PrometheusText out;
  for (const auto& [key, count] : metrics.requests) {
    out.Add({.name = "qnext_requests_total",
             .help = "HTTP requests answered, by endpoint and status.",
             .type = Type::kCounter,
             .labels = {{"endpoint", key.first}, {"status", std::to_string(key.second)}},
             .value = number(count)});
  }
  for (const auto& [end, count] : metrics.generations) {
    out.Add({.name = "qnext_generations_total",
             .help = "Generations ended, by how.",
             .type = Type::kCounter,
             .labels = {{"end", std::string(EndName(end))}},
             .value = number(count)});
  }
  out.Counter("qnext_prompt_tokens_total", "Tokens of prompts read.", number(metrics.prompt_tokens));
  out.Counter("qnext_cached_prompt_tokens_total", "Tokens of prompts taken from the prefix cache.",
              number(metrics.cached_prompt_tokens));
  out.Counter("qnext_generation_tokens_total", "Tokens generated.", number(metrics.completion_tokens));
  out.Counter("qnext_generation_seconds_total", "Time inside the engine, prompts included.",
              metrics.generation_seconds);
  out.Add("qnext_queue_wait_seconds", "From a request's arrival to its start in the engine.", metrics.queue_wait);
  out.Add("qnext_time_to_first_token_seconds", "From a request's arrival to its first token.", metrics.first_token);
  out.Add("qnext_inter_token_latency_seconds", "Between one token of an answer and the next.", metrics.inter_token);
  out.Gauge("qnext_queue_length", "Requests waiting.", number(metrics.queue_length));
  out.Gauge("qnext_requests_running", "Requests in the engine.", number(metrics.running));
  out.Gauge("qnext_model_loaded", "1 when the model answers.", metrics.model_loaded ? 1 : 0);
  out.Gauge("qnext_uptime_seconds", "Since the server started.", metrics.uptime_seconds);
  if (metrics.last_inference_unix) {
    out.Gauge("qnext_last_inference_timestamp_seconds", "When the last generation ended, Unix time.",
              number(*metrics.last_inference_unix));
  }
  out.Gauge("qnext_resident_memory_bytes", "RAM held by the process.", number(metrics.process.resident_bytes));
  out.Gauge("qnext_resident_memory_peak_bytes", "The most RAM held so far.",
            number(metrics.process.resident_peak_bytes));
  out.Gauge("qnext_gpu_memory_used_bytes", "GPU memory held by the process.", number(metrics.memory.gpu_used));
  out.Gauge("qnext_gpu_memory_total_bytes", "The GPU's memory.", number(metrics.memory.gpu_total));
  for (const BackendMetric& metric : metrics.backend) out.Add(metric);
  return out.text();
}

std::string FormatMetricsJson(const MetricsSnapshot& metrics) {
  Json out = {{"model_loaded", metrics.model_loaded},
              {"gpu_memory_used_gb", Gigabytes(metrics.memory.gpu_used)},
              {"gpu_memory_total_gb", Gigabytes(metrics.memory.gpu_total)},
              {"system_memory_used_gb", Gigabytes(metrics.process.resident_bytes)},
              {"system_memory_peak_gb", Gigabytes(metrics.process.resident_peak_bytes)},
              {"avg_tokens_per_second", TokensPerSecond(metrics)},
              {"total_inferences", TotalGenerations(metrics)},
              {"uptime_seconds", metrics.uptime_seconds},
              {"prompt_tokens_total", metrics.prompt_tokens},
              {"cached_prompt_tokens_total", metrics.cached_prompt_tokens},
              {"generation_tokens_total", metrics.completion_tokens},
              {"queue_length", metrics.queue_length},
              {"requests_running", metrics.running}};
  out["last_inference"] = metrics.last_inference_unix ? Json(FormatUtc(*metrics.last_inference_unix)) : Json();
  out["queue_wait_seconds"] = HistogramJson(metrics.queue_wait);
  out["time_to_first_token_seconds"] = HistogramJson(metrics.first_token);
  out["inter_token_latency_seconds"] = HistogramJson(metrics.inter_token);
  Json requests = Json::array();
  for (const auto& [key, count] : metrics.requests) {
    requests.push_back({{"endpoint", key.first}, {"status", key.second}, {"count", count}});
  }
  out["requests"] = std::move(requests);
  Json backend = Json::array();
  for (const BackendMetric& metric : metrics.backend) {
    Json labels = Json::object();
    for (const auto& label : metric.labels) labels[label.name] = label.value;
    backend.push_back({{"name", metric.name}, {"labels", std::move(labels)}, {"value", metric.value}});
  }
  out["engine"] = std::move(backend);
  return ToText(out);
}

}  // namespace qnext::server
