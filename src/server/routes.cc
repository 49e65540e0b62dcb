#include "server/routes.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <optional>

#include "server/api_error.h"

namespace qnext::server {
namespace {

constexpr std::string_view kModelPrefix = "/v1/models/";

constexpr std::array<Route, 13> kRoutes{{
    {Endpoint::kChatCompletions, "POST", "/v1/chat/completions", true, true},
    {Endpoint::kCompletions, "POST", "/v1/completions", true, true},
    {Endpoint::kInference, "POST", "/inference", true, true},
    {Endpoint::kBenchmark, "POST", "/benchmark", true, true},
    {Endpoint::kTokenize, "POST", "/tokenize", true, true},
    {Endpoint::kDetokenize, "POST", "/detokenize", true, true},
    {Endpoint::kApplyTemplate, "POST", "/apply-template", true, true},
    {Endpoint::kModels, "GET", "/v1/models", true, true},
    {Endpoint::kModel, "GET", "/v1/models/{id}", true, true},
    {Endpoint::kHealth, "GET", "/health", false, false},
    {Endpoint::kMetrics, "GET", "/metrics", false, true},
    {Endpoint::kVram, "GET", "/admin/vram", true, true, /*loopback_only=*/true},
    {Endpoint::kSetVram, "POST", "/admin/vram", true, true, /*loopback_only=*/true},
}};

// HEAD is answered as GET is.
bool Takes(const Route& route, std::string_view method) {
  return method == route.method || (method == "HEAD" && route.method == "GET");
}

// The methods of a path.
std::string Allow(std::string_view path) {
  std::string allow;
  for (const Route& route : kRoutes) {
    if (route.path == path) allow += route.method == "GET" ? "GET, HEAD, " : "POST, ";
  }
  return allow + "OPTIONS";
}

// The first of the path; a path that takes two methods has two.
const Route* FindPath(std::string_view path) {
  for (const Route& route : kRoutes) {
    const bool is_model = route.endpoint == Endpoint::kModel;
    if (is_model ? path.starts_with(kModelPrefix) && path.size() > kModelPrefix.size() : path == route.path) {
      return &route;
    }
  }
  return nullptr;
}

std::optional<std::string> PercentDecode(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    unsigned value = 0;
    const char* digits = text.data() + i + 1;
    if (i + 2 >= text.size() || std::from_chars(digits, digits + 2, value, 16).ptr != digits + 2) return std::nullopt;
    out += static_cast<char>(value);
    i += 2;
  }
  return out;
}

HttpResponse NoSuchEndpoint(std::string_view path) {
  return ErrorResponse(
      {.http_status = 404, .message = fmt::format("no such endpoint: {}", path.substr(0, 200)), .code = "not_found"});
}

}  // namespace

std::variant<RouteMatch, HttpResponse> MatchRoute(std::string_view method, std::string_view path) {
  const Route* route = FindPath(path);
  if (route == nullptr) return NoSuchEndpoint(path);
  const std::string allow = Allow(route->path);
  for (const Route& other : kRoutes) {
    if (other.path == route->path && Takes(other, method)) route = &other;
  }
  if (method == "OPTIONS") return HttpResponse{.status = 204, .content_type = "", .headers = {{"Allow", allow}}};
  if (!Takes(*route, method)) {
    HttpResponse response = ErrorResponse({.http_status = 405,
                                           .message = fmt::format("{}: use {}", route->path, route->method),
                                           .code = "method_not_allowed"});
    response.headers.push_back({"Allow", allow});
    return response;
  }
  RouteMatch match{route, ""};
  if (route->endpoint == Endpoint::kModel) {
    auto id = PercentDecode(path.substr(kModelPrefix.size()));
    if (!id) return NoSuchEndpoint(path);
    match.argument = *std::move(id);
  }
  return match;
}

std::string_view EndpointLabel(std::string_view path) {
  const Route* route = FindPath(path);
  return route == nullptr ? "other" : route->path;
}

}  // namespace qnext::server
