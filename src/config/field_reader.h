// FieldReader: the fields of one JSON object, each with its type and range, and errors that name the field.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "config/json_value.h"

namespace qnext {

// A view: the object must outlive it. A field whose value is null counts as absent, as in Hugging Face's files. The
// functions without a fallback require the field.
class FieldReader {
 public:
  // Errors begin with `context` (a path, and the enclosing field if there is one), then the field.
  FieldReader(const JsonValue& object, std::string context) : object_(object), context_(std::move(context)) {}

  // Null when absent.
  const JsonValue* Find(std::string_view key) const;

  Result<int64_t> Integer(std::string_view key, int64_t min, int64_t max) const;
  Result<int64_t> IntegerOr(std::string_view key, int64_t min, int64_t max, int64_t fallback) const;
  Result<double> Number(std::string_view key, double min, double max) const;
  Result<double> NumberOr(std::string_view key, double min, double max, double fallback) const;
  Result<bool> Bool(std::string_view key) const;
  Result<bool> BoolOr(std::string_view key, bool fallback) const;
  Result<std::string> String(std::string_view key) const;
  Result<std::string> StringOr(std::string_view key, std::string fallback) const;
  // One integer or a list of them; empty when absent.
  Result<std::vector<int64_t>> Integers(std::string_view key, int64_t min, int64_t max) const;

  // "context: key: message".
  Status Invalid(std::string_view key, std::string_view message) const;
  Status NotSupported(std::string_view key, std::string_view message) const;

  const std::string& context() const { return context_; }

 private:
  Status Missing(std::string_view key) const;

  const JsonValue& object_;
  std::string context_;
};

}  // namespace qnext
