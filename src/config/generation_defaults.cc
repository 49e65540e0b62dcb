#include <fmt/format.h>

#include <limits>

#include "base/file.h"
#include "config/field_reader.h"
#include "config/json_value.h"
#include "config/model_config.h"

namespace qnext {
namespace {

Status OptionalNumber(const FieldReader& fields, std::string_view key, double min, double max,
                      std::optional<double>* out) {
  if (fields.Find(key) == nullptr) return Status();
  QNEXT_ASSIGN_OR_RETURN(*out, fields.Number(key, min, max));
  return Status();
}

}  // namespace

Result<GenerationDefaults> ParseGenerationDefaults(const std::string& text, const std::string& path) {
  Result<JsonValue> json = ParseJson(text);
  if (!json.ok()) return json.status().WithContext(path);
  if (json->object() == nullptr)
    return Corrupt(fmt::format("{}: expected an object, found {}", path, json->Describe()));
  const FieldReader fields(*json, path);

  GenerationDefaults defaults;
  QNEXT_RETURN_IF_ERROR(OptionalNumber(fields, "temperature", 0, 2, &defaults.temperature));
  QNEXT_RETURN_IF_ERROR(OptionalNumber(fields, "top_p", 0, 1, &defaults.top_p));
  QNEXT_RETURN_IF_ERROR(OptionalNumber(fields, "min_p", 0, 1, &defaults.min_p));
  QNEXT_RETURN_IF_ERROR(OptionalNumber(fields, "repetition_penalty", 0.01, 100, &defaults.repetition_penalty));
  if (fields.Find("top_k") != nullptr) {
    QNEXT_ASSIGN_OR_RETURN(defaults.top_k, fields.Integer("top_k", -1, std::numeric_limits<int32_t>::max()));
  }
  if (fields.Find("do_sample") != nullptr) {
    QNEXT_ASSIGN_OR_RETURN(defaults.do_sample, fields.Bool("do_sample"));
  }
  QNEXT_ASSIGN_OR_RETURN(defaults.eos_token_ids,
                         fields.Integers("eos_token_id", 0, std::numeric_limits<int32_t>::max()));
  return defaults;
}

Result<GenerationDefaults> LoadGenerationDefaults(const std::string& folder) {
  const std::string path = folder + "/generation_config.json";
  if (!FileExists(path)) return GenerationDefaults();
  QNEXT_ASSIGN_OR_RETURN(const std::string text, ReadFileToString(path, int64_t{1} << 20));
  return ParseGenerationDefaults(text, path);
}

}  // namespace qnext
