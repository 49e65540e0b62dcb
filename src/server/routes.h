// Which endpoint a method and a path mean. Pure.
#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "server/http_types.h"

namespace qnext::server {

enum class Endpoint {
  kChatCompletions,
  kCompletions,
  kInference,
  kBenchmark,
  kTokenize,
  kDetokenize,
  kApplyTemplate,
  kModels,
  kModel,  // one of them
  kHealth,
  kMetrics,
  kVram,
  kSetVram,
};

struct Route {
  Endpoint endpoint;
  std::string_view method;     // "GET" or "POST"; GET answers HEAD as well, and only says how things stand
  std::string_view path;       // also the name of the endpoint in the metrics
  bool needs_model;            // 503 until it has been loaded
  bool needs_key;              // 401 without one, if the server has keys
  bool loopback_only = false;  // 403 for clients of other machines
};

struct RouteMatch {
  const Route* route;    // of the static table
  std::string argument;  // the id of /v1/models/ID, percent-decoded
};

// The endpoint, or the answer to what has none: 404, 405 with Allow, 204 with Allow to OPTIONS.
std::variant<RouteMatch, HttpResponse> MatchRoute(std::string_view method, std::string_view path);

// The path as a metrics label: one of the table's, or "other".
std::string_view EndpointLabel(std::string_view path);

}  // namespace qnext::server
