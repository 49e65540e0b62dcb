#include "engine/sampler.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "engine/random.h"

namespace qnext {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

Status BrokenLogits(std::span<const float> logits) {
  const auto at =
      std::find_if(logits.begin(), logits.end(), [](float x) { return !(x <= std::numeric_limits<float>::max()); });
  return Internal(fmt::format("logits: the model gave {} for token {}", *at, at - logits.begin()));
}

}  // namespace

Sampler::Sampler(const SamplingParams& params, uint64_t seed, uint64_t stream, int32_t vocab_end)
    : params_(params), seed_(seed), stream_(stream), vocab_end_(vocab_end), logprobs_(vocab_end, params.top_logprobs) {
  QNEXT_CHECK(vocab_end > 0, "there must be a token to choose");
  const size_t vocab = static_cast<size_t>(vocab_end);
  const bool penalties =
      params.presence_penalty != 0 || params.frequency_penalty != 0 || params.repetition_penalty != 1;
  if (penalties) {
    answer_count_.resize(vocab);
    seen_.resize(vocab);
    seen_ids_.reserve(vocab);
  }
  if (penalties || !params.logit_bias.empty()) adjusted_.resize(vocab);
  if (params.temperature > 0) candidates_ = CandidateSet(vocab_end, params.top_k);
}

void Sampler::AddPrompt(std::span<const int32_t> ids) {
  if (!penalizes()) return;
  for (const int32_t id : ids) {
    if (id >= 0 && id < vocab_end_) MarkSeen(id);
  }
}

void Sampler::MarkSeen(int32_t id) {
  uint8_t& seen = seen_[static_cast<size_t>(id)];
  if (seen == 0) seen_ids_.push_back(id);
  seen = 1;
}

Result<SampledToken> Sampler::Sample(std::span<const float> logits) {
  QNEXT_CHECK(logits.size() >= static_cast<size_t>(vocab_end_), "a logit for each token");
  logits = logits.first(static_cast<size_t>(vocab_end_));
  LogitScan scan = ScanLogits(logits);
  if (!scan.finite) return BrokenLogits(logits);
  if (scan.highest == -kInfinity) return Internal("logits: the model excludes every token");
  if (params_.logprobs) logprobs_.Read(logits, scan.highest);

  SampledToken token;
  if (adjusts()) {
    const std::span<const float> adjusted = Adjust(logits);
    scan = ScanLogits(adjusted);
    if (!scan.finite) return BrokenLogits(adjusted).WithContext("after penalties");
    if (scan.highest == -kInfinity) return Internal("logits: the penalties exclude every token");
    token.id = params_.temperature == 0 ? scan.arg_max : Draw(adjusted, scan.highest);
  } else {
    token.id = params_.temperature == 0 ? scan.arg_max : Draw(logits, scan.highest);
  }
  ++drawn_;
  if (penalizes()) {
    MarkSeen(token.id);
    ++answer_count_[static_cast<size_t>(token.id)];
  }
  if (params_.logprobs) {
    token.logprob = logprobs_.Of(token.id);
    token.top = logprobs_.top();
  }
  return token;
}

std::span<const float> Sampler::Adjust(std::span<const float> logits) {
  std::copy(logits.begin(), logits.end(), adjusted_.begin());
  for (const auto& [id, bias] : params_.logit_bias) adjusted_[static_cast<size_t>(id)] += bias;
  const float repetition = static_cast<float>(params_.repetition_penalty);
  for (const int32_t id : seen_ids_) {
    float& logit = adjusted_[static_cast<size_t>(id)];
    const uint32_t count = answer_count_[static_cast<size_t>(id)];
    logit = logit > 0 ? logit / repetition : logit * repetition;
    logit -= static_cast<float>(params_.frequency_penalty) * static_cast<float>(count);
    if (count > 0) logit -= static_cast<float>(params_.presence_penalty);
  }
  return adjusted_;
}

LogprobReader::LogprobReader(int32_t vocab_end, int64_t top_logprobs)
    : vocab_end_(vocab_end), top_logprobs_(top_logprobs) {
  most_likely_.reserve(static_cast<size_t>(top_logprobs));
  top_.reserve(static_cast<size_t>(top_logprobs));
}

Status LogprobReader::Read(std::span<const float> logits) {
  logits = logits.first(static_cast<size_t>(vocab_end_));
  const LogitScan scan = ScanLogits(logits);
  if (!scan.finite) return BrokenLogits(logits);
  if (scan.highest == -kInfinity) return Internal("logits: the model excludes every token");
  Read(logits, scan.highest);
  return Status();
}

void LogprobReader::Read(std::span<const float> logits, float highest) {
  logits_ = logits.first(static_cast<size_t>(vocab_end_));
  double sum = 0;
  for (const float logit : logits_) sum += static_cast<double>(std::exp(logit - highest));
  log_sum_ = static_cast<double>(highest) + std::log(sum);
  SelectLikeliest(logits_, top_logprobs_, most_likely_);
  top_.clear();
  for (const Candidate& c : most_likely_) top_.push_back({.id = c.id, .logprob = Of(c.id)});
}

int32_t Sampler::Draw(std::span<const float> logits, float highest) {
  candidates_.Select(logits, highest, params_.temperature);
  candidates_.KeepTopP(params_.top_p);
  candidates_.KeepMinP(params_.min_p);
  return candidates_.Draw(UniformAt(seed_, stream_, drawn_));
}

}  // namespace qnext
