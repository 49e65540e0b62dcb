// Status and Result<T>: how outside input (files, flags, HTTP) reports that it is wrong.
//
// The message starts with the path or field at fault ("model-00003.safetensors: qweight: ..."). Broken invariants of
// our own code are not a Status; they are a QNEXT_CHECK (check.h).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/check.h"

namespace qnext {

enum class StatusCode {
  kOk,
  kInvalidArgument,    // a flag, a request field or a configuration value is wrong
  kNotFound,           // a file or name does not exist
  kCorrupt,            // a file contradicts itself or its format
  kUnsupported,        // well formed, but this program cannot do it
  kResourceExhausted,  // a budget or limit does not suffice
  kUnavailable,        // not now: not ready, shutting down
  kCancelled,          // the caller went away
  kInternal,           // everything else
};

std::string_view StatusCodeName(StatusCode code);

// A code and a message. Thread-compatible.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(StatusCode code, std::string message) : code_(code), message_(std::move(message)) {}

  bool ok() const { return code_ == StatusCode::kOk; }
  StatusCode code() const { return code_; }
  const std::string& message() const { return message_; }

  // The same status with "context: " before its message; OK stays OK.
  Status WithContext(std::string_view context) const;

 private:
  StatusCode code_ = StatusCode::kOk;
  std::string message_;
};

inline Status InvalidArgument(std::string m) { return {StatusCode::kInvalidArgument, std::move(m)}; }
inline Status NotFound(std::string m) { return {StatusCode::kNotFound, std::move(m)}; }
inline Status Corrupt(std::string m) { return {StatusCode::kCorrupt, std::move(m)}; }
inline Status Unsupported(std::string m) { return {StatusCode::kUnsupported, std::move(m)}; }
inline Status ResourceExhausted(std::string m) { return {StatusCode::kResourceExhausted, std::move(m)}; }
inline Status Unavailable(std::string m) { return {StatusCode::kUnavailable, std::move(m)}; }
inline Status Cancelled(std::string m) { return {StatusCode::kCancelled, std::move(m)}; }
inline Status Internal(std::string m) { return {StatusCode::kInternal, std::move(m)}; }

// A value or the Status that says why there is none. value() of a failed Result is a broken invariant.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}         // NOLINT: implicit by design, so that `return value;` works
  Result(Status status) : status_(std::move(status)) {  // NOLINT: implicit by design
    QNEXT_CHECK(!status_.ok(), "a Result without a value needs an error");
  }

  bool ok() const { return value_.has_value(); }
  const Status& status() const { return status_; }
  T& value() & {
    QNEXT_CHECK(ok(), "value() of a failed Result");
    return *value_;
  }
  const T& value() const& {
    QNEXT_CHECK(ok(), "value() of a failed Result");
    return *value_;
  }
  T&& value() && {
    QNEXT_CHECK(ok(), "value() of a failed Result");
    return *std::move(value_);
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

 private:
  Status status_;
  std::optional<T> value_;
};

}  // namespace qnext

#define QNEXT_STATUS_CONCAT_(a, b) a##b
#define QNEXT_STATUS_CONCAT(a, b) QNEXT_STATUS_CONCAT_(a, b)

// Returns the error of `expr` (a Status) from the enclosing function.
#define QNEXT_RETURN_IF_ERROR(expr)                \
  do {                                             \
    ::qnext::Status qnext_status_ = (expr);        \
    if (!qnext_status_.ok()) return qnext_status_; \
  } while (false)

// Declares or assigns `lhs` from `expr` (a Result), or returns its error.
#define QNEXT_ASSIGN_OR_RETURN(lhs, expr)                         \
  auto QNEXT_STATUS_CONCAT(qnext_result_, __LINE__) = (expr);     \
  if (!QNEXT_STATUS_CONCAT(qnext_result_, __LINE__).ok())         \
    return QNEXT_STATUS_CONCAT(qnext_result_, __LINE__).status(); \
  lhs = std::move(QNEXT_STATUS_CONCAT(qnext_result_, __LINE__)).value()
