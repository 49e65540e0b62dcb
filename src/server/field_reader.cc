#include "server/field_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

namespace qnext::server {

using Json = nlohmann::ordered_json;

std::optional<int64_t> AsInteger(const Json& value, int64_t low, int64_t high) {
  if (value.is_number_unsigned() && value.get<uint64_t>() > uint64_t{INT64_MAX}) return std::nullopt;
  if (!value.is_number_integer()) return std::nullopt;
  const auto number = value.get<int64_t>();
  if (number < low || number > high) return std::nullopt;
  return number;
}

FieldReader::FieldReader(const Json& object, std::string path, FirstError& errors)
    : object_(&object), path_(std::move(path)), errors_(&errors) {}

std::string FieldReader::Path(std::string_view name) const {
  return path_.empty() ? std::string(name) : fmt::format("{}.{}", path_, name);
}

const Json* FieldReader::Any(std::string_view name) {
  known_.emplace_back(name);
  const auto found = object_->find(known_.back());
  return found == object_->end() || found->is_null() ? nullptr : &*found;
}

const Json* FieldReader::Object(std::string_view name) {
  const Json* value = Any(name);
  if (value == nullptr || value->is_object()) return value;
  Fail(name, "must be an object");
  return nullptr;
}

const Json* FieldReader::Array(std::string_view name) {
  const Json* value = Any(name);
  if (value == nullptr || value->is_array()) return value;
  Fail(name, "must be an array");
  return nullptr;
}

std::optional<bool> FieldReader::Bool(std::string_view name) {
  const Json* value = Any(name);
  if (value == nullptr) return std::nullopt;
  if (value->is_boolean()) return value->get<bool>();
  Fail(name, "must be true or false");
  return std::nullopt;
}

std::optional<std::string> FieldReader::String(std::string_view name) {
  const Json* value = Any(name);
  if (value == nullptr) return std::nullopt;
  if (value->is_string()) return value->get<std::string>();
  Fail(name, "must be a string");
  return std::nullopt;
}

std::optional<double> FieldReader::Number(std::string_view name, double low, double high) {
  const Json* value = Any(name);
  if (value == nullptr) return std::nullopt;
  if (value->is_number()) {
    const auto number = value->get<double>();
    if (number >= low && number <= high) return number;
  }
  Fail(name, fmt::format("must be a number from {} to {}", low, high));
  return std::nullopt;
}

std::optional<int64_t> FieldReader::Integer(std::string_view name, int64_t low, int64_t high) {
  const Json* value = Any(name);
  if (value == nullptr) return std::nullopt;
  const std::optional<int64_t> number = AsInteger(*value, low, high);
  if (!number) Fail(name, fmt::format("must be an integer from {} to {}", low, high));
  return number;
}

void FieldReader::Refuse(std::string_view name, std::string_view why) { RefuseUnless(name, nullptr, why); }

void FieldReader::RefuseUnless(std::string_view name, const Json& allowed, std::string_view why) {
  const Json* value = Any(name);
  if (value != nullptr && *value != allowed) Fail(name, why);
}

void FieldReader::Finish() {
  for (const auto& [name, value] : object_->items()) {
    if (std::find(known_.begin(), known_.end(), name) == known_.end()) {
      Fail(name.substr(0, 100), "unknown field");
      return;
    }
  }
}

}  // namespace qnext::server
