#include "base/json_guard.h"

#include <fmt/format.h>

namespace qnext {
namespace {

// By its byte order mark, or because its first character, ASCII in JSON, has more than one byte.
bool IsUtf16(std::string_view text) {
  if (text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff")) return true;
  return text.size() >= 2 && (text[0] == '\0') != (text[1] == '\0');
}

}  // namespace

Status CheckJsonLimits(std::string_view text, const JsonLimits& limits) {
  if (static_cast<int64_t>(text.size()) > limits.max_bytes) {
    return ResourceExhausted(
        fmt::format("JSON of {} bytes, more than the {} allowed here", text.size(), limits.max_bytes));
  }
  if (IsUtf16(text)) return Corrupt("is UTF-16 or UTF-32; JSON is UTF-8");
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
    } else if (c == '\0') {
      // A parser may take it for the end.
      return Corrupt(fmt::format("byte {} is NUL, which JSON does not have", static_cast<int64_t>(i)));
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
