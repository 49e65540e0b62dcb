#include "text/json_keys.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "base/clip.h"

namespace qnext {
namespace {

constexpr size_t kShownReason = 200;

// Receives the events of nlohmann's streaming parser, which neither recurses nor throws.
class KeyCollector {
 public:
  bool null() { return true; }
  bool boolean(bool) { return true; }
  bool number_integer(int64_t) { return true; }
  bool number_unsigned(uint64_t) { return true; }
  bool number_float(double, const std::string&) { return true; }
  bool string(std::string&) { return true; }
  bool binary(nlohmann::json::binary_t&) { return false; }
  bool start_array(size_t) { return true; }
  bool end_array() { return true; }

  bool start_object(size_t) {
    open_.emplace_back();
    return true;
  }
  bool key(std::string& value) {
    open_.back().push_back(std::move(value));
    return true;
  }
  bool end_object() {
    std::vector<std::string>& keys = open_.back();
    std::sort(keys.begin(), keys.end());
    const auto twice = std::adjacent_find(keys.begin(), keys.end());
    if (twice != keys.end()) error_ = fmt::format("the key \"{}\" occurs twice in one object", Clip(*twice));
    open_.pop_back();
    return error_.empty();
  }
  bool parse_error(size_t position, const std::string&, const nlohmann::json::exception& error) {
    error_ = fmt::format("not valid JSON at byte {}: {}", position, Clip(error.what(), kShownReason));
    return false;
  }

  const std::string& error() const { return error_; }

 private:
  std::vector<std::vector<std::string>> open_;  // the keys so far of each object that is open
  std::string error_;
};

}  // namespace

Status CheckJsonKeys(std::string_view text) {
  KeyCollector keys;
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &keys)) return Corrupt(keys.error());
  return {};
}

}  // namespace qnext
