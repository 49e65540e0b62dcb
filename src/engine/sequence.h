// Sequence: one answer in the making, from the logits of each step to tokens, text and the reason to end.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"
#include "engine/request.h"
#include "engine/sampler.h"
#include "text/detokenizer.h"
#include "text/stop_matcher.h"
#include "text/tokenizer.h"

namespace qnext {

// It computes nothing of the model: whoever steps it (today a loop over one sequence, later a scheduler over several)
// runs the model and hands in the logits. `request` and `tokenizer` must outlive it. One thread at a time.
class Sequence {
 public:
  // `request` has passed ValidateRequest with this vocabulary and `context`; `eos_ids` are the checkpoint's.
  Sequence(const Request& request, const Tokenizer& tokenizer, const std::vector<int32_t>& eos_ids, int64_t context,
           SteadyTime arrival);

  // The prefill begins.
  void Start();

  // Chooses the token that follows and decides whether it is the last. The piece's text is valid until the next call.
  // An error (broken logits) ends the sequence. Not after finished().
  Result<Piece> Advance(std::span<const float> logits);
  // The same with a token that the model has chosen by itself (LanguageModel::ForwardAndSample), with this seed.
  Piece Accept(int32_t token) { return Accept(SampledToken{.id = token}); }
  uint64_t seed() const { return sampler_.seed(); }

  bool finished() const { return finished_; }
  // Ends the sequence where it stands; text that could still have become a stop string is dropped. Nothing if it has
  // ended already.
  void Cancel();

  // The token that the model must run next. Only after Advance and while not finished().
  int32_t next_input() const { return result_.token_ids.back(); }

  // Only when finished(); once.
  GenerationResult TakeResult();

 private:
  Piece Accept(const SampledToken& token);
  void Finish(FinishReason reason);
  // Adds to the text what the bytes of a token make certain.
  void AppendText(std::string_view bytes);
  void AppendHeldBack();

  const Request& request_;
  std::vector<int32_t> eos_ids_;
  int64_t max_tokens_;
  Sampler sampler_;
  Detokenizer detokenizer_;
  StopMatcher stop_;
  bool finished_ = false;
  GenerationResult result_;
};

}  // namespace qnext
