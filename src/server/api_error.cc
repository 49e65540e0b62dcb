#include "server/api_error.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "server/json_text.h"

namespace qnext::server {

ApiError InvalidField(std::string_view param, std::string_view problem) {
  ApiError error{.http_status = 400};
  error.message = param.empty() ? std::string(problem) : fmt::format("{}: {}", param, problem);
  error.param = param;
  return error;
}

ApiError ModelNotReady(std::string message) {
  return {.http_status = 503, .message = std::move(message), .code = "model_not_ready", .retry_after_seconds = 5};
}

ApiError FromStatus(const Status& status) {
  ApiError error{.message = status.message()};
  switch (status.code()) {
    case StatusCode::kInvalidArgument:
    case StatusCode::kUnsupported:
      error.http_status = 400;
      break;
    case StatusCode::kNotFound:
      error.http_status = 404;
      break;
    case StatusCode::kResourceExhausted:
    case StatusCode::kUnavailable:
    case StatusCode::kCancelled:
      error.http_status = 503;
      break;
    case StatusCode::kOk:
    case StatusCode::kCorrupt:
    case StatusCode::kInternal:
      error.http_status = 500;
      break;
  }
  return error;
}

std::string_view ErrorType(int http_status) {
  if (http_status == 401) return "authentication_error";
  if (http_status == 429) return "rate_limit_error";
  if (http_status == 503) return "service_unavailable_error";
  return http_status < 500 ? "invalid_request_error" : "server_error";
}

std::string FormatError(const ApiError& error) {
  const auto text_or_null = [](const std::string& text) {
    return text.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(text);
  };
  nlohmann::ordered_json inner;
  inner["message"] = error.message;
  inner["type"] = ErrorType(error.http_status);
  inner["param"] = text_or_null(error.param);
  inner["code"] = text_or_null(error.code);
  nlohmann::ordered_json outer;
  outer["error"] = std::move(inner);
  return ToText(outer);
}

HttpResponse ErrorResponse(const ApiError& error) {
  HttpResponse response{.status = error.http_status, .body = FormatError(error)};
  if (error.retry_after_seconds > 0) {
    response.headers.push_back({"Retry-After", std::to_string(error.retry_after_seconds)});
  }
  if (error.http_status == 401) response.headers.push_back({"WWW-Authenticate", "Bearer"});
  return response;
}

}  // namespace qnext::server
