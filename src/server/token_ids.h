// Token ids in a request.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "server/field_reader.h"

namespace qnext::server {

// `value` must be an array of integers from 0; whether they exist in the vocabulary is checked where it is known.
std::vector<int32_t> ReadTokenIds(const nlohmann::ordered_json& value, const std::string& path, FirstError& errors);

}  // namespace qnext::server
