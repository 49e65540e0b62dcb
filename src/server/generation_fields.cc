#include "server/generation_fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <string>

namespace qnext::server {
namespace {

using Json = nlohmann::ordered_json;

void AddStop(const Json& value, const std::string& path, FirstError& errors, std::vector<std::string>& stops) {
  if (!value.is_string()) return errors.Set(path, "must be a string");
  const auto& text = value.get_ref<const std::string&>();
  if (text.empty()) return errors.Set(path, "must not be empty");
  if (text.size() > kMaxStopBytes) return errors.Set(path, fmt::format("longer than {} bytes", kMaxStopBytes));
  stops.push_back(text);
}

std::vector<std::string> ReadStop(FieldReader& fields, FirstError& errors) {
  std::vector<std::string> stops;
  const Json* value = fields.Any("stop");
  if (value == nullptr) return stops;
  if (value->is_string()) {
    AddStop(*value, "stop", errors, stops);
  } else if (!value->is_array()) {
    errors.Set("stop", "must be a string or an array of strings");
  } else if (value->size() > kMaxStops) {
    errors.Set("stop", fmt::format("more than {} strings", kMaxStops));
  } else {
    for (size_t i = 0; i < value->size(); ++i) AddStop((*value)[i], fmt::format("stop[{}]", i), errors, stops);
  }
  return stops;
}

// {"<token id>": bias}. Ids are checked against the vocabulary later, where it is known.
void ReadLogitBias(FieldReader& fields, FirstError& errors, std::map<int32_t, float>& biases) {
  const Json* value = fields.Object("logit_bias");
  if (value == nullptr) return;
  biases.clear();
  for (const auto& [key, bias] : value->items()) {
    const std::string path = "logit_bias." + key.substr(0, 40);
    int32_t id = 0;
    const char* end = key.data() + key.size();
    const auto [parsed_to, problem] = std::from_chars(key.data(), end, id);
    if (problem != std::errc() || parsed_to != end || id < 0) return errors.Set(path, "the key must be a token id");
    if (!bias.is_number() || !(bias.get<double>() >= -100 && bias.get<double>() <= 100)) {
      return errors.Set(path, "must be a number from -100 to 100");
    }
    // "7" and "07" are different keys for one token.
    if (!biases.emplace(id, bias.get<float>()).second) return errors.Set(path, "the token is given twice");
  }
}

void ReadStreamOptions(FieldReader& fields, FirstError& errors, GenerationFields& out) {
  const Json* value = fields.Object("stream_options");
  if (value == nullptr) return;
  if (!out.stream) return fields.Fail("stream_options", "only with stream: true");
  FieldReader options(*value, "stream_options", errors);
  out.include_usage = options.Bool("include_usage").value_or(false);
  options.RefuseUnless("include_obfuscation", false, "not supported");
  options.Finish();
}

}  // namespace

GenerationFields ReadGenerationFields(FieldReader& fields, const SamplingParams& defaults, FirstError& errors) {
  GenerationFields out;
  out.sampling = defaults;
  SamplingParams& sampling = out.sampling;
  out.model = fields.String("model");
  const auto number = [&fields](std::string_view name, double low, double high, double& out_value) {
    out_value = fields.Number(name, low, high).value_or(out_value);
  };
  number("temperature", 0, 2, sampling.temperature);
  number("top_p", 0, 1, sampling.top_p);
  number("min_p", 0, 1, sampling.min_p);
  number("presence_penalty", -2, 2, sampling.presence_penalty);
  number("frequency_penalty", -2, 2, sampling.frequency_penalty);
  number("repetition_penalty", 0.01, 100, sampling.repetition_penalty);
  // -1 is another common spelling of "off".
  sampling.top_k = std::max<int64_t>(0, fields.Integer("top_k", -1, INT32_MAX).value_or(sampling.top_k));
  ReadLogitBias(fields, errors, sampling.logit_bias);
  out.seed = fields.Integer("seed", INT64_MIN, INT64_MAX);
  out.stop = ReadStop(fields, errors);
  out.n = fields.Integer("n", 1, kMaxChoices).value_or(1);
  out.stream = fields.Bool("stream").value_or(false);
  ReadStreamOptions(fields, errors, out);
  out.ignore_eos = fields.Bool("ignore_eos").value_or(false);
  ReadHarmlessFields(fields);
  return out;
}

void ReadHarmlessFields(FieldReader& fields) {
  // Labels for the caller's own accounting; they promise nothing about the answer.
  fields.String("user");
  fields.String("safety_identifier");
  fields.String("prompt_cache_key");
  fields.Object("metadata");
  // Nothing is stored, and there is one tier.
  fields.RefuseUnless("store", false, "nothing is stored here");
  if (const auto tier = fields.String("service_tier"); tier && *tier != "auto" && *tier != "default") {
    fields.Fail("service_tier", "must be \"auto\" or \"default\"");
  }
}

}  // namespace qnext::server
