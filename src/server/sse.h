// Server-sent events, as far as OpenAI's streams use them.
#pragma once

#include <string>
#include <string_view>

#include "server/http_types.h"

namespace qnext::server {

inline constexpr std::string_view kSseDone = "data: [DONE]\n\n";

// One event. `json` is one line, as JSON text without indentation always is.
inline std::string SseEvent(std::string_view json) {
  std::string event = "data: ";
  event += json;
  event += "\n\n";
  return event;
}

// X-Accel-Buffering: nginx in between would otherwise hold tokens back.
inline HttpResponse SseHead() {
  return {.content_type = "text/event-stream; charset=utf-8",
          .headers = {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}}};
}

}  // namespace qnext::server
