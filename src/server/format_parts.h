// Parts that several answers share.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "server/api_types.h"

namespace qnext::server {

// {"prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details": {"cached_tokens"}}
nlohmann::ordered_json UsageJson(const Usage& usage);

// "stop", "length"; null if there is none yet.
nlohmann::ordered_json FinishReasonJson(const std::optional<FinishReason>& reason);

// {"id", "object", "created", "model"} and "system_fingerprint".
nlohmann::ordered_json HeadJson(const AnswerHead& head, std::string_view object);

// Clients cannot read -inf in JSON; OpenAI's floor is -9999.
double JsonLogprob(float logprob);

// 2^30 bytes are 1.0.
double Gigabytes(int64_t bytes);

// "2026-01-31T23:59:59Z"
std::string FormatUtc(int64_t unix_seconds);

// Whether `bytes` are whole UTF-8 characters.
bool IsUtf8(const std::string& bytes);

// Counts the characters of a text that arrives in pieces, which may end inside a character.
class CharacterCounter {
 public:
  // Returns how many characters began before `piece`, then counts those that begin in it.
  int64_t Add(std::string_view piece);

 private:
  int64_t count_ = 0;
};

}  // namespace qnext::server
