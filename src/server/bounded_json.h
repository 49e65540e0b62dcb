// Text to JSON, for text that a stranger sent.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "server/api_error.h"

namespace qnext::server {

struct JsonLimits {
  int64_t max_depth = 64;          // of nested objects and arrays; also bounds the recursion of everything after
  int64_t max_values = 1'000'000;  // bounds the memory: a value takes 16 bytes and more for 2 bytes of text
};

// The one object that `text` must be, its keys in their order. Refused with 400 and the path of the field at fault:
// what RFC 8259 does not allow (NaN, comments, bytes that are not UTF-8, lone surrogates, text after the end), numbers
// beyond a double, a key given twice, and what is beyond the limits.
ApiResult<nlohmann::ordered_json> ParseJsonObject(std::string_view text, const JsonLimits& limits = {});

}  // namespace qnext::server
