// The head of an HTTP/1 response. Pure.
#pragma once

#include <cstdint>
#include <ctime>
#include <optional>
#include <string>

#include "server/http_types.h"

namespace qnext::server {

struct HeadOptions {
  std::optional<int64_t> content_length{};  // absent: the body has another end
  bool chunked = false;
  bool keep_alive = true;
  std::time_t now = 0;
};

// Status line, headers and the empty line.
std::string FormatResponseHead(const HttpResponse& response, const HeadOptions& options);

// `piece`, which is not empty, as one chunk.
std::string FormatChunk(const std::string& piece);

inline constexpr const char* kLastChunk = "0\r\n\r\n";

}  // namespace qnext::server
