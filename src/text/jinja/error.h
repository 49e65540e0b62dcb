// How this room's inner code reports failure: one exception type, thrown anywhere in an expression and caught at the
// two doors of ChatTemplate. It never leaves the room; outside, it is a Status.
#pragma once

#include <exception>
#include <string>
#include <utility>

#include "base/status.h"

namespace qnext::jinja {

class TemplateError : public std::exception {
 public:
  // `line` is the template's line, 0 where the thrower does not know it (the catcher then names the one in progress).
  TemplateError(StatusCode code, std::string message, int line)
      : code_(code), message_(std::move(message)), line_(line) {}

  StatusCode code() const { return code_; }
  const std::string& message() const { return message_; }
  int line() const { return line_; }
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  StatusCode code_;
  std::string message_;
  int line_;
};

// What Python or Jinja would raise while rendering.
[[noreturn]] inline void Fail(std::string message) {
  throw TemplateError(StatusCode::kInvalidArgument, std::move(message), 0);
}
[[noreturn]] inline void FailSyntax(int line, std::string message) {
  throw TemplateError(StatusCode::kInvalidArgument, std::move(message), line);
}
// What Jinja could do and this engine does not.
[[noreturn]] inline void FailUnsupported(int line, std::string message) {
  throw TemplateError(StatusCode::kUnsupported, std::move(message), line);
}
// A bound of this engine (docs/chat-templates.md lists them).
[[noreturn]] inline void FailLimit(std::string message) {
  throw TemplateError(StatusCode::kResourceExhausted, std::move(message), 0);
}

}  // namespace qnext::jinja
