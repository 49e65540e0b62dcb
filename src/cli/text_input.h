// Texts that a user names: a file, a pipe (a process substitution, /dev/stdin), or - for standard input.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"

namespace qnext {

// What a text may have that somebody feeds in without end.
constexpr int64_t kMostTextBytes = int64_t{256} << 20;

// Reads to the end, which for a pipe is when its writer closes it. Errors name the path and the reason; more than
// `max_bytes` is refused.
Result<std::string> ReadTextInput(const std::string& path, int64_t max_bytes = kMostTextBytes);

}  // namespace qnext
