// How likely a model finds the tokens of a prompt.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/function_ref.h"
#include "base/status.h"
#include "engine/language_model.h"
#include "engine/sampler.h"

namespace qnext {

struct PromptScore {
  int32_t id = 0;
  float logprob = 0;              // given the tokens before it; 0 for the first, which nothing comes before
  std::vector<TokenLogprob> top;  // [top_logprobs] the most likely tokens at its place, falling; empty for the first
};

// Runs `ids` through the model anew, a piece at a time, and calls `on_scores` for each piece in order; false ends it
// with kCancelled. The sequence is then good for Reset only. Log-probabilities are those of engine/sampler.h, over ids
// below `vocab_end`. Takes memory for the logits of a piece.
Status ScorePrompt(LanguageModel& model, std::span<const int32_t> ids, int32_t vocab_end, int64_t top_logprobs,
                   FunctionRef<bool(std::span<const PromptScore>)> on_scores);

// Runs `ids` through the model anew, a piece at a time, and calls `on_logits` for the logits [V] of each place from
// `from` on but the last, in order: those of place i tell of ids[i + 1]. An error of `on_logits` ends it and is
// returned. The sequence is then good for Reset only. Takes memory for the logits of a piece.
Status ReadLogits(LanguageModel& model, std::span<const int32_t> ids, int64_t from,
                  FunctionRef<Status(int64_t place, std::span<const float> logits)> on_logits);

}  // namespace qnext
