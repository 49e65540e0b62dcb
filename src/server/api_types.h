// The requests of the HTTP API after parsing, and the pieces of its answers before formatting. Values only.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "server/backend.h"

namespace qnext::server {

// What chat and plain completions share.
struct GenerationFields {
  std::optional<std::string> model{};   // absent: the loaded one
  SamplingParams sampling{};            // its seed is unused: see `seed`
  std::optional<int64_t> seed{};        // absent: the server draws one
  std::optional<int64_t> max_tokens{};  // absent: chat and /inference differ, see the handlers
  std::vector<std::string> stop{};
  std::optional<int32_t> logprobs{};  // alternatives per token
  int64_t n = 1;
  bool stream = false;
  bool include_usage = false;
  bool ignore_eos = false;
};

struct ChatRequest {
  GenerationFields common{};
  std::shared_ptr<const nlohmann::ordered_json> variables{};  // for the template: messages, kwargs
};

using TokenIds = std::vector<int32_t>;

struct CompletionRequest {
  GenerationFields common{};
  std::vector<std::variant<std::string, TokenIds>> prompts{};  // at least one
  bool echo = false;
};

struct InferenceRequest {
  std::string prompt{};
  int64_t max_tokens = 100;
  double temperature = 0.7;
  bool stream = false;
};

enum class BenchmarkType { kStandard, kStress, kMemory };

struct BenchmarkRequest {
  BenchmarkType type = BenchmarkType::kStandard;
  int64_t iterations = 10;
};

struct TokenizeRequest {
  std::string content{};
  bool parse_special = true;
  bool with_pieces = false;
};

struct DetokenizeRequest {
  TokenIds tokens{};
};

struct ApplyTemplateRequest {
  std::shared_ptr<const nlohmann::ordered_json> variables{};
};

// A token as an answer shows it.
struct TokenText {
  std::string bytes{};  // not always whole characters
  float logprob = 0;
};

struct AnswerToken {
  TokenText token{};
  bool scored = true;       // false for a prompt's first token: it has no log-probability
  int64_t text_offset = 0;  // characters of the answer's text before it
  std::vector<TokenText> top{};
};

struct Choice {
  int64_t index = 0;
  std::string text{};
  std::optional<std::vector<AnswerToken>> logprobs{};  // present if asked for
  std::optional<FinishReason> finish_reason{};         // absent in all but the last chunk of a stream
};

struct Usage {
  int64_t prompt_tokens = 0;
  int64_t cached_prompt_tokens = 0;
  int64_t completion_tokens = 0;
};

// What every answer to one request repeats.
struct AnswerHead {
  std::string id{};  // "chatcmpl-..." or "cmpl-..."
  std::string model{};
  std::string fingerprint{};  // left out if empty
  int64_t created_unix = 0;
  bool include_usage = false;  // a stream's chunks then say "usage": null until the last says what it was
};

// What is known when everything asked for has been generated.
struct AnswerTotals {
  Usage usage{};
  double generation_seconds = 0;
  int64_t memory_used_bytes = 0;  // of the process, RAM and GPU
};

}  // namespace qnext::server
