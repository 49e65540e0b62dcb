#include "base/json_guard.h"

#include <fmt/format.h>

namespace qnext {

Status CheckJsonLimits(std::string_view text, const JsonLimits& limits) {
  if (static_cast<int64_t>(text.size()) > limits.max_bytes) {
    return ResourceExhausted(
        fmt::format("JSON of {} bytes, more than the {} allowed here", text.size(), limits.max_bytes));
  }
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        in_string = false;
      }
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > limits.max_depth) {
        return InvalidArgument(
            fmt::format("JSON nested deeper than {} levels at byte {}", limits.max_depth, static_cast<int64_t>(i)));
      }
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return Status();
}

}  // namespace qnext
