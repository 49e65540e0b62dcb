// Reads the fields of a JSON object and refuses those nobody asked for.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/api_error.h"

namespace qnext::server {

// The first thing wrong with a request; later ones are dropped.
class FirstError {
 public:
  void Set(std::string_view param, std::string_view problem) {
    if (!error_) error_ = InvalidField(param, problem);
  }
  const std::optional<ApiError>& error() const { return error_; }

 private:
  std::optional<ApiError> error_;
};

// One JSON object. Every read names a field that the request may have; a field that is absent or null reads as nullopt,
// and so does one of the wrong type or out of range, which is noted in `errors`. Finish notes the first field that no
// read named. `object` and `errors` must outlive the reader. One thread at a time.
class FieldReader {
 public:
  // `path` of the object itself: "" for the body, "messages[2]" for a part of it.
  FieldReader(const nlohmann::ordered_json& object, std::string path, FirstError& errors);

  // The field as it is; nullptr if absent or null.
  const nlohmann::ordered_json* Any(std::string_view name);
  const nlohmann::ordered_json* Object(std::string_view name);
  const nlohmann::ordered_json* Array(std::string_view name);
  std::optional<bool> Bool(std::string_view name);
  std::optional<std::string> String(std::string_view name);
  std::optional<double> Number(std::string_view name, double low, double high);  // within [low, high]
  std::optional<int64_t> Integer(std::string_view name, int64_t low, int64_t high);

  // The field may be there only as null or as `allowed`, which means nothing; anything else is an error saying `why`.
  void Refuse(std::string_view name, std::string_view why);
  void RefuseUnless(std::string_view name, const nlohmann::ordered_json& allowed, std::string_view why);

  void Finish();

  std::string Path(std::string_view name) const;
  void Fail(std::string_view name, std::string_view problem) { errors_->Set(Path(name), problem); }

 private:
  const nlohmann::ordered_json* object_;
  std::string path_;
  FirstError* errors_;
  std::vector<std::string> known_;
};

// A number that is a whole one and within [low, high]; nothing else.
std::optional<int64_t> AsInteger(const nlohmann::ordered_json& value, int64_t low, int64_t high);

}  // namespace qnext::server
