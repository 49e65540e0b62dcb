#include "bench/sse_parser.h"

namespace qnext {

void SseParser::Push(std::string_view bytes, FunctionRef<void(std::string_view data)> on_event) {
  for (const char c : bytes) {
    const bool second_half = after_return_ && c == '\n';  // of a line end "\r\n"
    after_return_ = c == '\r';
    if (second_half) continue;
    if (c == '\r' || c == '\n') {
      Line(on_event);
    } else {
      line_ += c;
    }
  }
}

void SseParser::Line(FunctionRef<void(std::string_view data)> on_event) {
  constexpr std::string_view kData = "data:";
  if (line_.empty()) {
    if (!data_.empty()) {
      data_.pop_back();
      on_event(data_);
    }
    data_.clear();
  } else if (line_.starts_with(kData)) {
    std::string_view value = std::string_view(line_).substr(kData.size());
    if (value.starts_with(' ')) value.remove_prefix(1);
    data_.append(value);
    data_ += '\n';
  }
  line_.clear();
}

}  // namespace qnext
