#include "server/token_ids.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace qnext::server {

std::vector<int32_t> ReadTokenIds(const nlohmann::ordered_json& value, const std::string& path, FirstError& errors) {
  std::vector<int32_t> ids;
  ids.reserve(value.size());
  for (const auto& item : value) {
    const auto id = AsInteger(item, 0, INT32_MAX);
    if (!id) {
      errors.Set(fmt::format("{}[{}]", path, ids.size()), "must be a token id");
      return {};
    }
    ids.push_back(static_cast<int32_t>(*id));
  }
  return ids;
}

}  // namespace qnext::server
