#include "server/api.h"

#include <fmt/format.h>

#include <exception>
#include <nlohmann/json.hpp>
#include <random>
#include <utility>

#include "server/auth.h"
#include "server/chat_parse.h"
#include "server/format_info.h"
#include "server/plain_parse.h"
#include "server/prometheus_text.h"
#include "server/request_checks.h"

namespace qnext::server {
namespace {

uint64_t RandomWord() {
  std::random_device device;
  return (uint64_t{device()} << 32U) | device();
}

// "application/json", with or without parameters. Required because a browser may send other types from any web page
// without asking first.
bool IsJson(std::string_view content_type) {
  content_type = content_type.substr(0, content_type.find(';'));
  while (content_type.ends_with(' ')) content_type.remove_suffix(1);
  return EqualsIgnoringCase(content_type, "application/json");
}

}  // namespace

Api::Api(std::vector<std::string> api_keys, JobQueue& queue, const ModelSlot& model, ServerMetrics& metrics)
    : api_keys_(std::move(api_keys)),
      queue_(queue),
      model_(model),
      metrics_(metrics),
      start_(std::chrono::steady_clock::now()),
      random_base_(RandomWord()) {}

// splitmix64: every word comes once, and none tells the next.
uint64_t Api::NextRandom() {
  uint64_t z = random_base_ + (random_count_ += 1) * 0x9E3779B97F4A7C15ULL;
  z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27U)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31U);
}

std::optional<HttpResponse> Api::CheckModel() const {
  const ModelState model = model_.Get();
  if (model.backend != nullptr) return std::nullopt;
  if (!model.failure.ok()) {
    ApiError error = ModelNotReady("the model could not be loaded: " + model.failure.message());
    error.retry_after_seconds = 0;
    return ErrorResponse(error);
  }
  return ErrorResponse(ModelNotReady(
      fmt::format("the model is loading: {}, {:.0f}%", model.progress.stage, model.progress.fraction * 100)));
}

std::optional<HttpResponse> Api::CheckCall(const HttpRequest& head) const {
  auto matched = MatchRoute(head.method, head.path);
  const auto* match = std::get_if<RouteMatch>(&matched);
  if ((match == nullptr || match->route->needs_key) && !api_keys_.empty() &&
      !IsAuthorized(head.Header("Authorization"), api_keys_)) {
    return ErrorResponse({.http_status = 401,
                          .message = "Authorization: Bearer with a valid API key is required",
                          .code = "invalid_api_key"});
  }
  if (match == nullptr) return std::get<HttpResponse>(matched);
  if (match->route->loopback_only && !head.from_loopback) {
    return ErrorResponse({.http_status = 403,
                          .message = fmt::format("{}: only for clients on the server's machine", match->route->path),
                          .code = "loopback_only"});
  }
  if (!head.query.empty()) return ErrorResponse(InvalidField("", "query parameters are not supported"));
  if (match->route->method == "POST" && !IsJson(head.Header("Content-Type"))) {
    return ErrorResponse({.http_status = 415, .message = "Content-Type: must be application/json"});
  }
  if (match->route->needs_model) {
    if (refusing_) return ErrorResponse(ShuttingDown());
    return CheckModel();
  }
  return std::nullopt;
}

std::optional<HttpResponse> Api::CheckHead(const HttpRequest& head) {
  auto refusal = CheckCall(head);
  if (refusal) metrics_.CountRequest(EndpointLabel(head.path), refusal->status);
  return refusal;
}

HttpResponse Api::TransportError(int status, std::string_view message) {
  metrics_.CountRequest("other", status);
  return ErrorResponse({.http_status = status, .message = std::string(message)});
}

bool Api::IsQuick(const HttpRequest& request) const {
  const auto matched = MatchRoute(request.method, request.path);
  const auto* match = std::get_if<RouteMatch>(&matched);
  return match != nullptr && match->route->method == "GET";
}

void Api::Handle(HttpRequest request, std::shared_ptr<HttpExchange> exchange) {
  const auto arrival = std::chrono::steady_clock::now();
  auto matched = MatchRoute(request.method, request.path);
  std::optional<HttpResponse> response;
  try {
    if (const auto* match = std::get_if<RouteMatch>(&matched)) {
      const Call call{request, *match, model_.Get().backend, exchange, arrival};
      response = Answer(call);
    } else {
      response = std::get<HttpResponse>(matched);
    }
  } catch (const std::exception& problem) {  // out of memory, or a bug: this request's end, not the server's
    response = ErrorResponse({.http_status = 500, .message = problem.what()});
  }
  if (!response) return;
  metrics_.CountRequest(EndpointLabel(request.path), response->status);
  exchange->Send(*std::move(response));
}

std::optional<HttpResponse> Api::Answer(const Call& call) {
  if (call.match.route->needs_model && call.backend == nullptr) return CheckModel();
  switch (call.match.route->endpoint) {
    case Endpoint::kChatCompletions:
      return ChatCompletions(call);
    case Endpoint::kCompletions:
      return Completions(call);
    case Endpoint::kInference:
      return Inference(call);
    case Endpoint::kBenchmark:
      return Benchmark(call);
    case Endpoint::kTokenize:
      return Tokenize(call);
    case Endpoint::kDetokenize:
      return Detokenize(call);
    case Endpoint::kApplyTemplate:
      return ApplyTemplate(call);
    case Endpoint::kModels:
      return HttpResponse{.body = FormatModels(call.backend->model())};
    case Endpoint::kModel:
      if (call.match.argument != call.backend->model().id) {
        return ErrorResponse(ModelNotFound(call.match.argument, call.backend->model().id));
      }
      return HttpResponse{.body = FormatModel(call.backend->model())};
    case Endpoint::kHealth:
      return Health();
    case Endpoint::kMetrics:
      return Metrics(call);
    case Endpoint::kVram:
      return Vram(call);
    case Endpoint::kSetVram:
      return SetVram(call);
  }
  return ErrorResponse({.http_status = 500, .message = "unreachable endpoint"});
}

HttpResponse Api::Tokenize(const Call& call) const {
  auto request = ParseTokenizeRequest(call.request.body);
  if (!request.ok()) return ErrorResponse(request.error());
  const auto tokens = call.backend->Tokenize(request->content, request->parse_special);
  if (!tokens.ok()) return ErrorResponse(FromStatus(tokens.status()));
  std::optional<std::vector<std::string>> pieces;
  if (request->with_pieces) {
    pieces.emplace();
    for (const int32_t id : *tokens) pieces->push_back(call.backend->TokenBytes(id));
  }
  return {.body = FormatTokens(*tokens, pieces)};
}

HttpResponse Api::Detokenize(const Call& call) const {
  auto request = ParseDetokenizeRequest(call.request.body);
  if (!request.ok()) return ErrorResponse(request.error());
  if (const auto error = CheckIds(request->tokens, call.backend->model().vocab_size, "tokens")) {
    return ErrorResponse(*error);
  }
  const auto text = call.backend->Detokenize(request->tokens);
  if (!text.ok()) return ErrorResponse(FromStatus(text.status()));
  return {.body = FormatContent(*text)};
}

HttpResponse Api::ApplyTemplate(const Call& call) const {
  auto request = ParseApplyTemplateRequest(call.request.body);
  if (!request.ok()) return ErrorResponse(request.error());
  const auto prompt = call.backend->ApplyTemplate(*request->variables);
  if (!prompt.ok()) return ErrorResponse(FromStatus(prompt.status()));
  return {.body = FormatPrompt(*prompt)};
}

HttpResponse Api::Health() const {
  const HealthReport report = MakeHealthReport(model_.Get(), refusing_, metrics_.Snapshot().last_inference_unix);
  return {.status = report.state == HealthReport::State::kOk ? 200 : 503, .body = FormatHealth(report)};
}

HttpResponse Api::Metrics(const Call& call) const {
  MetricsSnapshot snapshot = metrics_.Snapshot();
  snapshot.queue_length = queue_.waiting();
  snapshot.uptime_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  snapshot.process = ReadProcessMemory();
  if (call.backend != nullptr) {
    snapshot.model_loaded = true;
    snapshot.running = queue_.running();  // a load is in the queue's hands too, but no request
    snapshot.memory = call.backend->Memory();
    snapshot.backend = call.backend->Metrics();
  }
  if (call.request.Header("Accept").find("application/json") != std::string_view::npos) {
    return {.body = FormatMetricsJson(snapshot)};
  }
  return {.content_type = std::string(kPrometheusContentType), .body = FormatMetricsText(snapshot)};
}

}  // namespace qnext::server
