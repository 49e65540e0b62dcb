// JsonValue: a parsed JSON document whose objects keep the order of the file (quantization rules are tried in order).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/json_guard.h"
#include "base/status.h"

namespace qnext {

struct JsonMember;

// Immutable once parsed. An integer that does not fit int64 is a number.
class JsonValue {
 public:
  using Array = std::vector<JsonValue>;
  using Object = std::vector<JsonMember>;
  using Variant = std::variant<std::nullptr_t, bool, int64_t, double, std::string, Array, Object>;

  JsonValue() : value_(nullptr) {}
  explicit JsonValue(Variant value) : value_(std::move(value)) {}

  bool is_null() const { return std::holds_alternative<std::nullptr_t>(value_); }

  // Null unless the value is of that kind.
  const bool* boolean() const { return std::get_if<bool>(&value_); }
  const int64_t* integer() const { return std::get_if<int64_t>(&value_); }
  const double* number() const { return std::get_if<double>(&value_); }  // not the integers
  const std::string* string() const { return std::get_if<std::string>(&value_); }
  const Array* array() const { return std::get_if<Array>(&value_); }
  const Object* object() const { return std::get_if<Object>(&value_); }

  // The member of an object; null when there is none, or the value is not an object.
  const JsonValue* Find(std::string_view key) const;

  // What it is, for error messages: "an integer", "\"gptq\"", "null".
  std::string Describe() const;

 private:
  Variant value_;
};

struct JsonMember {
  std::string key;
  JsonValue value;
};

// Errors: not JSON, deeper or larger than the limits, invalid UTF-8, a number outside double, or one key twice in an
// object (readers differ in which of the two they take, so the file contradicts itself).
Result<JsonValue> ParseJson(std::string_view text, const JsonLimits& limits = {});

}  // namespace qnext
