#include "engine/sequence.h"

#include <algorithm>
#include <limits>
#include <random>

#include "base/check.h"

namespace qnext {
namespace {

constexpr int64_t kTextBytesPerToken = 8;  // about twice that of English; more is taken where that is not enough

uint64_t DrawSeed() {
  std::random_device device;
  return uint64_t{device()} << 32 | device();
}

}  // namespace

Sequence::Sequence(const Request& request, const Tokenizer& tokenizer, const std::vector<int32_t>& eos_ids,
                   int64_t context, SteadyTime arrival)
    : request_(request),
      eos_ids_(request.eos_ids.empty() ? eos_ids : request.eos_ids),
      max_tokens_(std::min(request.max_tokens.value_or(std::numeric_limits<int64_t>::max()),
                           context - static_cast<int64_t>(request.prompt_ids.size()))),
      sampler_(request.sampling, request.sampling.seed ? *request.sampling.seed : DrawSeed(), request.stream,
               tokenizer.vocab_end()),
      detokenizer_(tokenizer, request.skip_special_tokens),
      stop_(request.stop) {
  sampler_.AddPrompt(request.prompt_ids);
  result_.seed = sampler_.seed();
  result_.timeline = RequestTimeline(arrival);
  // Everything that grows with the answer, so that a token takes no memory; pages never touched cost none.
  const int64_t most = std::max<int64_t>(max_tokens_, 0);
  result_.timeline.Reserve(most);
  result_.token_ids.reserve(static_cast<size_t>(most));
  result_.text.reserve(static_cast<size_t>(most * kTextBytesPerToken));
  if (request.sampling.logprobs) result_.logprobs.reserve(static_cast<size_t>(most));
  result_.usage.prompt_tokens = static_cast<int64_t>(request.prompt_ids.size());
}

void Sequence::Start() { result_.timeline.Start(std::chrono::steady_clock::now(), result_.usage.prompt_tokens); }

Result<Piece> Sequence::Advance(std::span<const float> logits) {
  QNEXT_ASSIGN_OR_RETURN(const SampledToken token, sampler_.Sample(logits));
  return Accept(token);
}

Piece Sequence::Accept(const SampledToken& token) {
  QNEXT_CHECK(!finished_, "a finished sequence does not advance");
  const size_t text_before = result_.text.size();
  result_.timeline.AddToken(std::chrono::steady_clock::now());
  result_.token_ids.push_back(token.id);
  if (request_.sampling.logprobs) {
    result_.logprobs.push_back({.logprob = token.logprob, .top = {token.top.begin(), token.top.end()}});
  }
  const bool is_eos = !request_.ignore_eos && std::find(eos_ids_.begin(), eos_ids_.end(), token.id) != eos_ids_.end();
  if (is_eos) {
    result_.eos_id = token.id;
    AppendHeldBack();
    Finish(FinishReason::kStop);
  } else {
    AppendText(detokenizer_.Push(token.id));
    const bool full = static_cast<int64_t>(result_.token_ids.size()) >= max_tokens_;
    if (full && !stop_.stopped()) AppendHeldBack();
    if (stop_.stopped()) {
      Finish(FinishReason::kStop);
    } else if (full) {
      Finish(FinishReason::kLength);
    }
  }
  return Piece{.text = std::string_view(result_.text).substr(text_before),
               .token_id = token.id,
               .logprobs = result_.logprobs.empty() ? nullptr : &result_.logprobs.back()};
}

void Sequence::AppendText(std::string_view bytes) { result_.text += stop_.Push(bytes); }

void Sequence::AppendHeldBack() {
  // The last bytes may complete a stop string, even where the answer ends for another reason.
  AppendText(detokenizer_.Finish());
  if (!stop_.stopped()) result_.text += stop_.Finish();
}

void Sequence::Cancel() {
  if (!finished_) Finish(FinishReason::kCancelled);
}

void Sequence::Finish(FinishReason reason) {
  finished_ = true;
  result_.finish_reason = reason;
  result_.stop_string = stop_.matched();
  result_.usage.completion_tokens = static_cast<int64_t>(result_.token_ids.size());
}

GenerationResult Sequence::TakeResult() {
  QNEXT_CHECK(finished_, "only a finished sequence has a result");
  return std::move(result_);
}

}  // namespace qnext
