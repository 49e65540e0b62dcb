// API keys.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace qnext::server {

// One key per line; empty lines and lines that begin with '#' are skipped. A file without a key is an error: it would
// lock everyone out or let everyone in.
Result<std::vector<std::string>> ReadApiKeys(const std::string& path);

// Whether `authorization`, the header's value, is "Bearer " and one of the keys. The time it takes says how long the
// keys are and nothing else about them.
bool IsAuthorized(std::string_view authorization, const std::vector<std::string>& keys);

}  // namespace qnext::server
