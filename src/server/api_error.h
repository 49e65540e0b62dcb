// Errors as OpenAI's clients expect them, and the one table from our codes to HTTP's.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "server/http_types.h"

namespace qnext::server {

struct ApiError {
  int http_status = 500;
  std::string message{};
  std::string param{};          // the field at fault, e.g. "messages[0].content"; empty: null in JSON
  std::string code{};           // a word for programs, e.g. "model_not_found"; empty: null in JSON
  int retry_after_seconds = 0;  // > 0: sent as Retry-After
};

// 400 that names a field. The message starts with the field.
ApiError InvalidField(std::string_view param, std::string_view problem);
ApiError ModelNotReady(std::string message);

// The table. kCancelled and kUnavailable are 503, kResourceExhausted 503, bad input 400, the rest 500.
ApiError FromStatus(const Status& status);

// "invalid_request_error", "authentication_error", "rate_limit_error", "service_unavailable_error", "server_error".
std::string_view ErrorType(int http_status);

// {"error": {"message", "type", "param", "code"}}
std::string FormatError(const ApiError& error);
HttpResponse ErrorResponse(const ApiError& error);

// A value or the ApiError that says why there is none.
template <typename T>
class [[nodiscard]] ApiResult {
 public:
  ApiResult(T value) : value_(std::move(value)) {}         // NOLINT: implicit by design, so that `return value;` works
  ApiResult(ApiError error) : error_(std::move(error)) {}  // NOLINT: implicit by design

  bool ok() const { return value_.has_value(); }
  const ApiError& error() const { return error_; }
  T& operator*() {
    QNEXT_CHECK(ok(), "the value of a failed ApiResult");
    return *value_;
  }
  T* operator->() { return &**this; }

 private:
  std::optional<T> value_;
  ApiError error_;
};

}  // namespace qnext::server
