#include "config/json_value.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/clip.h"

namespace qnext {
namespace {

// Receives the events of nlohmann's streaming parser, which neither recurses nor throws, and builds the tree.
class TreeBuilder {
 public:
  bool null() { return Add(JsonValue(nullptr)); }
  bool boolean(bool value) { return Add(JsonValue(value)); }
  bool number_integer(int64_t value) { return Add(JsonValue(value)); }
  bool number_unsigned(uint64_t value) {
    if (value <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      return Add(JsonValue(static_cast<int64_t>(value)));
    }
    return Add(JsonValue(static_cast<double>(value)));
  }
  bool number_float(double value, const std::string&) { return Add(JsonValue(value)); }
  bool string(std::string& value) { return Add(JsonValue(std::move(value))); }
  bool binary(nlohmann::json::binary_t&) { return false; }

  bool start_object(size_t) {
    open_.push_back({.is_object = true, .items = {}, .members = {}, .key = {}});
    return true;
  }
  bool key(std::string& value) {
    open_.back().key = std::move(value);
    return true;
  }
  bool end_object() {
    Level level = std::move(open_.back());
    open_.pop_back();
    if (!KeysDiffer(level.members)) return false;
    return Add(JsonValue(std::move(level.members)));
  }
  bool start_array(size_t) {
    open_.push_back({.is_object = false, .items = {}, .members = {}, .key = {}});
    return true;
  }
  bool end_array() {
    Level level = std::move(open_.back());
    open_.pop_back();
    return Add(JsonValue(std::move(level.items)));
  }
  bool parse_error(size_t position, const std::string&, const nlohmann::json::exception& error) {
    constexpr size_t kShownReason = 200;
    error_ = fmt::format("not valid JSON at byte {}: {}", position, Clip(error.what(), kShownReason));
    return false;
  }

  JsonValue TakeRoot() { return std::move(root_); }
  const std::string& error() const { return error_; }

 private:
  struct Level {
    bool is_object;
    JsonValue::Array items;
    JsonValue::Object members;
    std::string key;  // of the value to come
  };

  bool Add(JsonValue value) {
    if (open_.empty()) {
      root_ = std::move(value);
    } else if (open_.back().is_object) {
      open_.back().members.push_back({std::move(open_.back().key), std::move(value)});
    } else {
      open_.back().items.push_back(std::move(value));
    }
    return true;
  }

  bool KeysDiffer(const JsonValue::Object& members) {
    std::vector<std::string_view> keys;
    keys.reserve(members.size());
    for (const JsonMember& member : members) keys.push_back(member.key);
    std::sort(keys.begin(), keys.end());
    const auto twice = std::adjacent_find(keys.begin(), keys.end());
    if (twice == keys.end()) return true;
    error_ = fmt::format("the key \"{}\" occurs twice in one object", Clip(*twice));
    return false;
  }

  JsonValue root_;
  std::vector<Level> open_;
  std::string error_;
};

}  // namespace

const JsonValue* JsonValue::Find(std::string_view key) const {
  const Object* members = object();
  if (members == nullptr) return nullptr;
  for (const JsonMember& member : *members) {
    if (member.key == key) return &member.value;
  }
  return nullptr;
}

std::string JsonValue::Describe() const {
  if (is_null()) return "null";
  if (const bool* value = boolean()) return *value ? "true" : "false";
  if (const int64_t* value = integer()) return fmt::format("{}", *value);
  if (const double* value = number()) {
    const std::string text = fmt::format("{}", *value);
    return text.find_first_not_of("-0123456789") == std::string::npos ? text + ".0" : text;  // 4.0 is no integer
  }
  if (const std::string* value = string()) {
    return fmt::format("\"{}\"", Clip(*value));
  }
  return array() != nullptr ? "an array" : "an object";
}

Result<JsonValue> ParseJson(std::string_view text, const JsonLimits& limits) {
  QNEXT_RETURN_IF_ERROR(CheckJsonLimits(text, limits));
  TreeBuilder builder;
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &builder)) return Corrupt(builder.error());
  return builder.TakeRoot();
}

}  // namespace qnext
