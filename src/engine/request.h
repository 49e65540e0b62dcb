// What is asked of the engine and what it gives back: plain values.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "engine/sampler.h"
#include "engine/sampling_params.h"
#include "metrics/timeline.h"

namespace qnext {

// Immutable once handed to the engine. A request for n answers is n of these that differ in `stream`.
struct Request {
  std::vector<int32_t> prompt_ids;  // at least one; templates, BOS and the like are already in it
  SamplingParams sampling;
  std::optional<int64_t> max_tokens;  // at least 1; absent: as many as the context holds
  std::vector<std::string> stop;      // texts that end the answer and are left out of it; none may be empty
  std::vector<int32_t> eos_ids;       // tokens that end the answer; empty: the checkpoint's
  bool ignore_eos = false;            // eos tokens are answered like any other (for benchmarks)
  bool skip_special_tokens = true;    // special tokens are left out of the text
  uint64_t stream = 0;                // which random numbers of the seed; 0 .. n-1 for n answers
};

// Everything about a request that can be known without running it. `context` is the most tokens a sequence may have.
// kInvalidArgument with the field first.
Status ValidateRequest(const Request& request, int32_t vocab_end, int64_t context);

enum class FinishReason : uint8_t {
  kStop,       // an eos token or a stop string
  kLength,     // max_tokens, or the end of the context
  kCancelled,  // the caller asked for it
};
std::string_view FinishReasonName(FinishReason reason);  // "stop", "length", "cancelled"

// The log-probabilities at one place of the answer.
struct TokenLogprobs {
  float logprob = 0;              // of the token that was chosen
  std::vector<TokenLogprob> top;  // [top_logprobs] the most likely tokens, falling
};

struct Usage {
  int64_t prompt_tokens = 0;
  int64_t completion_tokens = 0;  // all that were generated, the eos token too
};

// The answer. `text` is what the pieces said, one after the other.
struct GenerationResult {
  std::string text;
  std::vector<int32_t> token_ids;       // all that were generated, the eos token too
  std::vector<TokenLogprobs> logprobs;  // one per token id if asked for
  FinishReason finish_reason = FinishReason::kLength;
  std::optional<std::string> stop_string;  // the one that matched
  std::optional<int32_t> eos_id;           // the one that came
  Usage usage;
  uint64_t seed = 0;  // the request's, or the one drawn for it
  RequestTimeline timeline{SteadyTime{}};
};

// One step of an answer while it is generated.
struct Piece {
  std::string_view text;                    // text that has become certain; may be empty
  int32_t token_id = 0;                     // the token that was chosen
  const TokenLogprobs* logprobs = nullptr;  // of that token, if asked for
};

// How a caller follows and ends a generation; all are called by the thread that generates and may be absent.
struct GenerationHooks {
  std::function<bool(const Piece&)> on_piece;  // once per token, before the next is computed; false cancels
  std::function<void()> between_steps;         // before each step, the prompt's too: nothing is under way then
  std::function<bool()> cancelled;             // asked between the blocks of a prefill and between tokens
};

}  // namespace qnext
