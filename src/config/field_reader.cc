#include "config/field_reader.h"

#include <fmt/format.h>

namespace qnext {

const JsonValue* FieldReader::Find(std::string_view key) const {
  const JsonValue* value = object_.Find(key);
  return value == nullptr || value->is_null() ? nullptr : value;
}

Result<int64_t> FieldReader::Integer(std::string_view key, int64_t min, int64_t max) const {
  const JsonValue* value = Find(key);
  if (value == nullptr) return Missing(key);
  const int64_t* integer = value->integer();
  if (integer == nullptr) return Invalid(key, fmt::format("expected an integer, found {}", value->Describe()));
  if (*integer < min || *integer > max) {
    return Invalid(key, fmt::format("{} is outside {} .. {}", *integer, min, max));
  }
  return *integer;
}

Result<int64_t> FieldReader::IntegerOr(std::string_view key, int64_t min, int64_t max, int64_t fallback) const {
  if (Find(key) == nullptr) return fallback;
  return Integer(key, min, max);
}

Result<double> FieldReader::Number(std::string_view key, double min, double max) const {
  const JsonValue* value = Find(key);
  if (value == nullptr) return Missing(key);
  double number = 0;
  if (value->integer() != nullptr) {
    number = static_cast<double>(*value->integer());
  } else if (value->number() != nullptr) {
    number = *value->number();
  } else {
    return Invalid(key, fmt::format("expected a number, found {}", value->Describe()));
  }
  if (!(number >= min && number <= max)) {
    return Invalid(key, fmt::format("{} is outside {} .. {}", number, min, max));
  }
  return number;
}

Result<double> FieldReader::NumberOr(std::string_view key, double min, double max, double fallback) const {
  if (Find(key) == nullptr) return fallback;
  return Number(key, min, max);
}

Result<bool> FieldReader::Bool(std::string_view key) const {
  const JsonValue* value = Find(key);
  if (value == nullptr) return Missing(key);
  if (value->boolean() == nullptr) {
    return Invalid(key, fmt::format("expected true or false, found {}", value->Describe()));
  }
  return *value->boolean();
}

Result<bool> FieldReader::BoolOr(std::string_view key, bool fallback) const {
  if (Find(key) == nullptr) return fallback;
  return Bool(key);
}

Result<std::string> FieldReader::String(std::string_view key) const {
  const JsonValue* value = Find(key);
  if (value == nullptr) return Missing(key);
  if (value->string() == nullptr) return Invalid(key, fmt::format("expected a string, found {}", value->Describe()));
  return *value->string();
}

Result<std::string> FieldReader::StringOr(std::string_view key, std::string fallback) const {
  if (Find(key) == nullptr) return fallback;
  return String(key);
}

Result<std::vector<int64_t>> FieldReader::Integers(std::string_view key, int64_t min, int64_t max) const {
  std::vector<int64_t> integers;
  const JsonValue* value = Find(key);
  if (value == nullptr) return integers;
  if (value->integer() != nullptr) {
    integers.push_back(*value->integer());
  } else if (value->array() != nullptr) {
    for (const JsonValue& item : *value->array()) {
      if (item.integer() == nullptr) return Invalid(key, fmt::format("expected integers, found {}", item.Describe()));
      integers.push_back(*item.integer());
    }
  } else {
    return Invalid(key, fmt::format("expected an integer or a list of integers, found {}", value->Describe()));
  }
  for (int64_t integer : integers) {
    if (integer < min || integer > max) return Invalid(key, fmt::format("{} is outside {} .. {}", integer, min, max));
  }
  return integers;
}

Status FieldReader::Invalid(std::string_view key, std::string_view message) const {
  return InvalidArgument(fmt::format("{}: {}: {}", context_, key, message));
}

Status FieldReader::NotSupported(std::string_view key, std::string_view message) const {
  return Unsupported(fmt::format("{}: {}: {}", context_, key, message));
}

Status FieldReader::Missing(std::string_view key) const { return Invalid(key, "is required and missing"); }

}  // namespace qnext
