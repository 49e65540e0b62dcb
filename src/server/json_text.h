// JSON to text, in the one way that cannot fail.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace qnext::server {

// Compact; bytes that are not UTF-8 become U+FFFD and numbers that are not finite null, instead of an exception.
std::string ToText(const nlohmann::ordered_json& value);

}  // namespace qnext::server
