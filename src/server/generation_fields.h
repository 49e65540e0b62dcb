// The fields that /v1/chat/completions and /v1/completions share. docs/http-api.md lists them with their ranges.
#pragma once

#include "server/api_types.h"
#include "server/field_reader.h"

namespace qnext::server {

inline constexpr int64_t kMaxTokensLimit = int64_t{1} << 40;  // what a field may ask for; the context bounds it further
inline constexpr int64_t kMaxChoices = 128;                   // answers to one request
inline constexpr int64_t kMaxLogprobs = 20;
inline constexpr size_t kMaxStops = 16;
inline constexpr size_t kMaxStopBytes = 1024;

// Everything shared but max_tokens and logprobs, which differ. `defaults` are the values of fields not given.
GenerationFields ReadGenerationFields(FieldReader& fields, const SamplingParams& defaults, FirstError& errors);

// OpenAI's fields that say nothing about the answer's content, or only with values that this server does not have.
void ReadHarmlessFields(FieldReader& fields);

}  // namespace qnext::server
