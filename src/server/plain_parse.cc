#include "server/plain_parse.h"

#include <nlohmann/json.hpp>

#include "server/bounded_json.h"
#include "server/field_reader.h"
#include "server/generation_fields.h"
#include "server/token_ids.h"

namespace qnext::server {
namespace {

using Json = nlohmann::ordered_json;

// Runs `read(fields, errors, out)` over the body's fields and refuses those it did not name.
template <typename T, typename Read>
ApiResult<T> ParseFields(std::string_view body, Read read) {
  ApiResult<Json> json = ParseJsonObject(body);
  if (!json.ok()) return json.error();
  FirstError errors;
  FieldReader fields(*json, "", errors);
  T out;
  read(fields, errors, out);
  fields.Finish();
  if (errors.error()) return *errors.error();
  return out;
}

std::string RequiredString(FieldReader& fields, std::string_view name) {
  auto value = fields.String(name);
  if (!value) fields.Fail(name, "is required");
  return value.value_or("");
}

}  // namespace

ApiResult<InferenceRequest> ParseInferenceRequest(std::string_view body) {
  return ParseFields<InferenceRequest>(body, [](FieldReader& fields, FirstError&, InferenceRequest& out) {
    out.prompt = RequiredString(fields, "prompt");
    out.max_tokens = fields.Integer("max_tokens", 1, kMaxTokensLimit).value_or(out.max_tokens);
    out.temperature = fields.Number("temperature", 0, 2).value_or(out.temperature);
    out.stream = fields.Bool("stream").value_or(out.stream);
  });
}

ApiResult<BenchmarkRequest> ParseBenchmarkRequest(std::string_view body) {
  return ParseFields<BenchmarkRequest>(body, [](FieldReader& fields, FirstError&, BenchmarkRequest& out) {
    const std::string type = RequiredString(fields, "test_type");
    if (type == "standard") {
      out.type = BenchmarkType::kStandard;
    } else if (type == "stress") {
      out.type = BenchmarkType::kStress;
    } else if (type == "memory") {
      out.type = BenchmarkType::kMemory;
    } else {
      fields.Fail("test_type", "must be standard, stress or memory");
    }
    out.iterations = fields.Integer("iterations", 1, kMostBenchmarkIterations).value_or(out.iterations);
  });
}

ApiResult<TokenizeRequest> ParseTokenizeRequest(std::string_view body) {
  return ParseFields<TokenizeRequest>(body, [](FieldReader& fields, FirstError&, TokenizeRequest& out) {
    out.content = RequiredString(fields, "content");
    out.parse_special = fields.Bool("parse_special").value_or(out.parse_special);
    out.with_pieces = fields.Bool("with_pieces").value_or(out.with_pieces);
  });
}

ApiResult<DetokenizeRequest> ParseDetokenizeRequest(std::string_view body) {
  return ParseFields<DetokenizeRequest>(body, [](FieldReader& fields, FirstError& errors, DetokenizeRequest& out) {
    if (const Json* tokens = fields.Array("tokens")) {
      out.tokens = ReadTokenIds(*tokens, "tokens", errors);
    } else {
      fields.Fail("tokens", "is required");
    }
  });
}

ApiResult<int64_t> ParseVramRequest(std::string_view body, int64_t planned_bytes) {
  return ParseFields<int64_t>(body, [&](FieldReader& fields, FirstError&, int64_t& out) {
    const auto bytes = fields.Integer("expert_cache_bytes", 0, planned_bytes);
    if (!bytes) fields.Fail("expert_cache_bytes", "is required");
    out = bytes.value_or(0);
  });
}

}  // namespace qnext::server
