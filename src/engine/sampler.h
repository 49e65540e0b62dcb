// Sampler: from the logits of one position to one token.
//
// The order is that of Hugging Face and vLLM:
//
//   1. log-probabilities are taken from the logits as the model gave them (what vLLM reports by default), so that they
//      do not depend on the request's other fields
//   2. logit_bias is added
//   3. repetition_penalty over the tokens of prompt and answer, then frequency_penalty and presence_penalty over those
//      of the answer
//   4. temperature 0: the highest logit, the lowest id on ties; done
//   5. logits / temperature
//   6. top_k, then top_p on what top_k left (renormalised), then min_p; equal logits count by rising id, so that
//   exactly
//      top_k tokens remain; the most likely token always does
//   7. one draw from the rest, with the random number of (seed, stream, number of tokens drawn before)
//
// Ids from vocab_end on are padding of the output matrix and take no part in any step.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "engine/candidates.h"
#include "engine/sampling_params.h"

namespace qnext {

struct TokenLogprob {
  int32_t id = 0;
  float logprob = 0;  // natural logarithm
};

struct SampledToken {
  int32_t id = 0;
  float logprob = 0;                  // only with params.logprobs
  std::span<const TokenLogprob> top;  // [min(top_logprobs, vocab_end)] falling; valid until the next Sample
};

// Log-probabilities at one place, from its logits as the model gave them. All memory is taken at construction.
class LogprobReader {
 public:
  LogprobReader(int32_t vocab_end, int64_t top_logprobs);
  // `logits` has at least vocab_end values and must stay until the next Read. kInternal as Sampler::Sample has it.
  Status Read(std::span<const float> logits);
  // The same where the highest of the first vocab_end logits is known, and all are finite or -infinity.
  void Read(std::span<const float> logits, float highest);
  float Of(int32_t id) const {
    return static_cast<float>(static_cast<double>(logits_[static_cast<size_t>(id)]) - log_sum_);
  }
  std::span<const TokenLogprob> top() const { return top_; }

 private:
  const int32_t vocab_end_;
  const int64_t top_logprobs_;
  std::span<const float> logits_;
  std::vector<Candidate> most_likely_;  // capacity top_logprobs
  std::vector<TokenLogprob> top_;       // capacity top_logprobs
  double log_sum_ = 0;                  // log of the sum of exp(logits)
};

// The token choices of one sequence. All memory is taken at construction. One thread at a time.
class Sampler {
 public:
  // `params` must have passed ValidateSampling. The random numbers are those of (seed, stream): params.seed is not
  // looked at, so that whoever draws a seed for the request can report it.
  Sampler(const SamplingParams& params, uint64_t seed, uint64_t stream, int32_t vocab_end);

  // The tokens of the prompt, for repetition_penalty.
  void AddPrompt(std::span<const int32_t> ids);

  uint64_t seed() const { return seed_; }

  // Chooses the next token and counts it for the penalties. `logits` has at least vocab_end values. kInternal when the
  // model is broken: a NaN, +infinity, or no token that can be chosen (-infinity excludes a token).
  Result<SampledToken> Sample(std::span<const float> logits);

 private:
  bool adjusts() const { return !adjusted_.empty(); }
  bool penalizes() const { return !answer_count_.empty(); }
  void MarkSeen(int32_t id);
  std::span<const float> Adjust(std::span<const float> logits);
  int32_t Draw(std::span<const float> logits, float highest);

  const SamplingParams params_;
  const uint64_t seed_;
  const uint64_t stream_;
  const int32_t vocab_end_;
  uint64_t drawn_ = 0;  // tokens chosen so far

  std::vector<float> adjusted_;         // [vocab_end] if there are biases or penalties
  std::vector<uint32_t> answer_count_;  // [vocab_end] if there are penalties
  std::vector<uint8_t> seen_;           // [vocab_end] if there are penalties: in prompt or answer
  std::vector<int32_t> seen_ids_;       // those ids, each once; capacity vocab_end
  CandidateSet candidates_;
  LogprobReader logprobs_;
};

}  // namespace qnext
