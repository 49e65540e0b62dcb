#include "server/chat_parse.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "server/bounded_json.h"
#include "server/chat_messages.h"
#include "server/field_reader.h"
#include "server/generation_fields.h"

namespace qnext::server {
namespace {

using Json = nlohmann::ordered_json;

void ReadMaxTokens(FieldReader& fields, GenerationFields& out) {
  const auto old_name = fields.Integer("max_tokens", 1, kMaxTokensLimit);
  const auto new_name = fields.Integer("max_completion_tokens", 1, kMaxTokensLimit);
  if (old_name && new_name && *old_name != *new_name) {
    fields.Fail("max_tokens", "contradicts max_completion_tokens; they are two names of one limit");
  }
  out.max_tokens = new_name ? new_name : old_name;
}

void ReadLogprobs(FieldReader& fields, GenerationFields& out) {
  const bool wanted = fields.Bool("logprobs").value_or(false);
  const auto top = fields.Integer("top_logprobs", 0, kMaxLogprobs);
  if (top && !wanted) fields.Fail("top_logprobs", "only with logprobs: true");
  if (wanted) out.logprobs = static_cast<int32_t>(top.value_or(0));
}

// What this server does not do. The values that ask for nothing are let through, because clients send them unasked.
void RefuseUnsupported(FieldReader& fields, FirstError& errors) {
  fields.RefuseUnless("tools", Json::array(), "tools are not supported");
  fields.RefuseUnless("tool_choice", "none", "tools are not supported");
  fields.RefuseUnless("parallel_tool_calls", true, "tools are not supported");
  fields.RefuseUnless("functions", Json::array(), "functions are not supported");
  fields.RefuseUnless("function_call", "none", "functions are not supported");
  if (const Json* format = fields.Object("response_format")) {
    FieldReader inner(*format, "response_format", errors);
    if (inner.String("type").value_or("") != "text") inner.Fail("type", "only \"text\" is supported");
    inner.Finish();
  }
  fields.RefuseUnless("modalities", Json::array({"text"}), "only [\"text\"] is supported");
  fields.Refuse("audio", "not supported");
  fields.Refuse("prediction", "not supported");
  fields.Refuse("reasoning_effort", "not supported");
  fields.Refuse("verbosity", "not supported");
  fields.Refuse("web_search_options", "not supported");
}

}  // namespace

ApiResult<ChatRequest> ParseChatRequest(std::string_view body, const SamplingParams& defaults) {
  ApiResult<Json> json = ParseJsonObject(body);
  if (!json.ok()) return json.error();
  FirstError errors;
  FieldReader fields(*json, "", errors);
  ChatRequest out;
  Json variables;
  ReadTemplateVariables(fields, errors, variables);
  out.common = ReadGenerationFields(fields, defaults, errors);
  ReadMaxTokens(fields, out.common);
  ReadLogprobs(fields, out.common);
  RefuseUnsupported(fields, errors);
  fields.Finish();
  if (errors.error()) return *errors.error();
  out.variables = std::make_shared<const Json>(std::move(variables));
  return out;
}

ApiResult<ApplyTemplateRequest> ParseApplyTemplateRequest(std::string_view body) {
  ApiResult<Json> json = ParseJsonObject(body);
  if (!json.ok()) return json.error();
  FirstError errors;
  FieldReader fields(*json, "", errors);
  Json variables;
  ReadTemplateVariables(fields, errors, variables);
  variables["add_generation_prompt"] = fields.Bool("add_generation_prompt").value_or(true);
  fields.RefuseUnless("tools", Json::array(), "tools are not supported");
  fields.Finish();
  if (errors.error()) return *errors.error();
  ApplyTemplateRequest out;
  out.variables = std::make_shared<const Json>(std::move(variables));
  return out;
}

}  // namespace qnext::server
