// SamplingParams: what a request says about the choice of each token. sampler.h says in which order it is applied.
#pragma once

#include <cstdint>
#include <map>
#include <optional>

#include "base/status.h"

namespace qnext {

// The defaults change nothing: they sample from the model's own distribution. Ranges are OpenAI's where OpenAI has the
// field; top_k, min_p and repetition_penalty are spelled as in Hugging Face and vLLM.
struct SamplingParams {
  double temperature = 1;       // [0, 2]; 0: the most likely token (greedy), everything from top_k on is without effect
  int64_t top_k = 0;            // only the k most likely tokens; 0 or -1: all
  double top_p = 1;             // [0, 1]: the fewest most likely tokens whose probabilities reach top_p
  double min_p = 0;             // [0, 1]: only tokens at least min_p times as likely as the most likely one
  double presence_penalty = 0;  // [-2, 2]: taken once from each token already generated
  double frequency_penalty = 0;  // [-2, 2]: taken from a token for each time it was generated
  double repetition_penalty =
      1;  // [0.01, 100]: divides positive, multiplies negative logits of prompt and answer tokens
  std::map<int32_t, float> logit_bias;  // [-100, 100] per token id, added to its logit
  std::optional<uint64_t> seed;         // absent: drawn by the engine and reported with the result
  bool logprobs = false;                // report the log-probability of each token
  int64_t top_logprobs = 0;             // [0, 20]: and of the most likely tokens at its place; needs logprobs
};

constexpr int64_t kMaxTopLogprobs = 20;

// kInvalidArgument with the field first: "top_p: must be in [0, 1], not 1.5".
Status ValidateSampling(const SamplingParams& params, int32_t vocab_end);

}  // namespace qnext
