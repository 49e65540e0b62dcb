#include "server/auth.h"

#include <algorithm>
#include <cstdint>

#include "base/file.h"
#include "server/http_types.h"

namespace qnext::server {
namespace {

constexpr int64_t kMaxKeyFileBytes = 1 << 20;
constexpr std::string_view kScheme = "Bearer ";

// No branch depends on a byte of either text.
bool EqualInConstantTime(std::string_view given, std::string_view key) {
  unsigned difference = given.size() == key.size() ? 0 : 1;
  for (size_t i = 0; i < key.size(); ++i) {
    const char other = given.empty() ? '\0' : given[i % given.size()];
    difference |= static_cast<unsigned char>(key[i]) ^ static_cast<unsigned char>(other);
  }
  return difference == 0;
}

std::string_view Trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1);
}

}  // namespace

Result<std::vector<std::string>> ReadApiKeys(const std::string& path) {
  QNEXT_ASSIGN_OR_RETURN(const std::string text, ReadFileToString(path, kMaxKeyFileBytes));
  std::vector<std::string> keys;
  for (std::string_view rest = text; !rest.empty();) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = Trim(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.empty() || line.front() == '#') continue;
    keys.emplace_back(line);
  }
  if (keys.empty()) return InvalidArgument(path + ": holds no API key");
  return keys;
}

bool IsAuthorized(std::string_view authorization, const std::vector<std::string>& keys) {
  if (authorization.size() < kScheme.size() || !EqualsIgnoringCase(authorization.substr(0, kScheme.size()), kScheme)) {
    return false;
  }
  const std::string_view given = Trim(authorization.substr(kScheme.size()));
  unsigned matches = 0;
  for (const std::string& key : keys) matches += EqualInConstantTime(given, key) ? 1 : 0;
  return matches > 0;
}

}  // namespace qnext::server
