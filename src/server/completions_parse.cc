#include "server/completions_parse.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "server/bounded_json.h"
#include "server/field_reader.h"
#include "server/generation_fields.h"
#include "server/token_ids.h"

namespace qnext::server {
namespace {

using Json = nlohmann::ordered_json;

void ReadPrompts(FieldReader& fields, FirstError& errors, CompletionRequest& out) {
  const Json* value = fields.Any("prompt");
  if (value == nullptr) return fields.Fail("prompt", "is required");
  if (value->is_string()) {
    out.prompts.emplace_back(value->get<std::string>());
    return;
  }
  if (!value->is_array()) return fields.Fail("prompt", "must be a string, token ids, or an array of either");
  if (value->empty()) return fields.Fail("prompt", "must not be empty");
  if ((*value)[0].is_number()) {
    out.prompts.emplace_back(ReadTokenIds(*value, "prompt", errors));
    return;
  }
  if (value->size() > static_cast<size_t>(kMaxChoices)) {
    return fields.Fail("prompt", fmt::format("more than {} prompts", kMaxChoices));
  }
  for (size_t i = 0; i < value->size(); ++i) {
    const Json& item = (*value)[i];
    const std::string path = fmt::format("prompt[{}]", i);
    if (item.is_string()) {
      out.prompts.emplace_back(item.get<std::string>());
    } else if (item.is_array()) {
      out.prompts.emplace_back(ReadTokenIds(item, path, errors));
    } else {
      return errors.Set(path, "must be a string or an array of token ids");
    }
  }
}

}  // namespace

ApiResult<CompletionRequest> ParseCompletionRequest(std::string_view body, const SamplingParams& defaults) {
  ApiResult<Json> json = ParseJsonObject(body);
  if (!json.ok()) return json.error();
  FirstError errors;
  FieldReader fields(*json, "", errors);
  CompletionRequest out;
  ReadPrompts(fields, errors, out);
  out.common = ReadGenerationFields(fields, defaults, errors);
  out.common.max_tokens = fields.Integer("max_tokens", 0, kMaxTokensLimit);
  if (const auto top = fields.Integer("logprobs", 0, kMaxLogprobs)) out.common.logprobs = static_cast<int32_t>(*top);
  out.echo = fields.Bool("echo").value_or(false);
  if (const auto best_of = fields.Integer("best_of", 1, kMaxChoices); best_of && *best_of != out.common.n) {
    fields.Fail("best_of", "only the value of n is supported: every answer is returned");
  }
  fields.RefuseUnless("suffix", "", "not supported: the model has no fill-in-the-middle format");
  fields.Finish();
  if (static_cast<int64_t>(out.prompts.size()) * out.common.n > kMaxChoices) {
    fields.Fail("n", fmt::format("prompts times n is more than {}", kMaxChoices));
  }
  if (errors.error()) return *errors.error();
  return out;
}

}  // namespace qnext::server
