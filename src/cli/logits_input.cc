#include "cli/logits_input.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/json_guard.h"
#include "checkpoint/safetensors.h"

namespace qnext {
namespace {

using Json = nlohmann::json;

Result<Json> ReadJson(const std::string& path) {
  QNEXT_ASSIGN_OR_RETURN(const std::string text, ReadFileToString(path));
  QNEXT_RETURN_IF_ERROR(CheckJsonLimits(text, {.max_bytes = int64_t{1} << 30}).WithContext(path));
  Json json = Json::parse(text, /*cb=*/nullptr, /*allow_exceptions=*/false);
  if (!json.is_array()) return InvalidArgument(path + ": is not a JSON array");
  return json;
}

// `size` entries (any number if negative) of an array of integers in [0, end).
Status AppendIntegers(const Json& array, int64_t size, int64_t end, const std::string& where,
                      std::vector<int32_t>& out) {
  if (!array.is_array() || (size >= 0 && static_cast<int64_t>(array.size()) != size)) {
    return InvalidArgument(fmt::format("{}: must be an array of {} integers", where, size));
  }
  for (const Json& entry : array) {
    if (!entry.is_number_integer() || entry.get<int64_t>() < 0 || entry.get<int64_t>() >= end) {
      return InvalidArgument(fmt::format("{}: must hold integers in [0, {})", where, end));
    }
    out.push_back(entry.get<int32_t>());
  }
  return {};
}

Status CheckArray(const Json& array, int64_t size, const std::string& where, const char* what) {
  if (array.is_array() && static_cast<int64_t>(array.size()) == size) return {};
  return InvalidArgument(fmt::format("{}: must be an array of {} {}", where, size, what));
}

}  // namespace

Result<std::vector<int32_t>> ParseIds(std::string_view text, const std::string& source) {
  std::vector<int32_t> ids;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string_view number = text.substr(begin, end - begin);
    int32_t id = 0;
    const auto parsed = std::from_chars(number.data(), number.data() + number.size(), id);
    if (parsed.ec != std::errc() || parsed.ptr != number.data() + number.size()) {
      return InvalidArgument(fmt::format("{}: \"{}\" is not a token id", source, number));
    }
    ids.push_back(id);
    begin = end + 1;
  }
  return ids;
}

Result<std::vector<int32_t>> ReadIds(const std::string& path) {
  QNEXT_ASSIGN_OR_RETURN(const Json json, ReadJson(path));
  std::vector<int32_t> ids;
  QNEXT_RETURN_IF_ERROR(AppendIntegers(json, /*size=*/-1, int64_t{1} << 31, path, ids));
  return ids;
}

Status CheckIds(const std::vector<int32_t>& ids, const ModelConfig& config) {
  if (ids.empty()) return InvalidArgument("ids: there are none");
  for (const int32_t id : ids) {
    if (id >= 0 && id < config.vocab_size) continue;
    return InvalidArgument(fmt::format("ids: {} is outside the vocabulary of {}", id, config.vocab_size));
  }
  return {};
}

Result<std::vector<int32_t>> ReadExperts(const std::string& path, const ModelConfig& config, int64_t tokens) {
  QNEXT_ASSIGN_OR_RETURN(const Json json, ReadJson(path));
  const int64_t layers = std::count(config.layer_is_moe.begin(), config.layer_is_moe.end(), true);
  QNEXT_RETURN_IF_ERROR(CheckArray(json, layers, path, "MoE layers"));
  std::vector<int32_t> experts;
  for (size_t layer = 0; layer < json.size(); ++layer) {
    const std::string where = fmt::format("{}: [{}]", path, layer);
    QNEXT_RETURN_IF_ERROR(CheckArray(json[layer], tokens, where, "tokens"));
    for (size_t token = 0; token < json[layer].size(); ++token) {
      QNEXT_RETURN_IF_ERROR(AppendIntegers(json[layer][token], config.num_experts_per_token, config.num_experts,
                                           fmt::format("{}[{}]", where, token), experts));
    }
  }
  return experts;
}

Result<std::vector<float>> ReadLayerInputs(const std::string& path, const ModelConfig& config, int64_t tokens) {
  QNEXT_ASSIGN_OR_RETURN(const SafetensorsFile file, SafetensorsFile::Open(path));
  const auto tensor = std::find_if(file.tensors().begin(), file.tensors().end(),
                                   [](const TensorInfo& info) { return info.name == "layer_inputs"; });
  if (tensor == file.tensors().end()) return NotFound(path + ": layer_inputs: there is no such tensor");
  const Shape wanted{config.num_layers, tokens, config.hidden_size};
  if (tensor->dtype != DType::kF32 || tensor->shape != wanted) {
    return InvalidArgument(fmt::format("{}: layer_inputs: must be F32 {}, not {} {}", path, wanted.ToString(),
                                       DTypeName(tensor->dtype), tensor->shape.ToString()));
  }
  std::vector<float> values(static_cast<size_t>(wanted.Elements().value()));
  QNEXT_RETURN_IF_ERROR(file.Read(*tensor, std::as_writable_bytes(std::span(values))));
  return values;
}

}  // namespace qnext
