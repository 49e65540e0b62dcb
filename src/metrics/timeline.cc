#include "metrics/timeline.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace qnext {
namespace {

double Seconds(SteadyTime from, SteadyTime to) { return std::chrono::duration<double>(to - from).count(); }

}  // namespace

void RequestTimeline::Start(SteadyTime time, int64_t prompt_tokens) {
  QNEXT_CHECK(tokens_.empty() && time >= arrival_, "a request starts after its arrival and before its first token");
  start_ = time;
  prompt_tokens_ = prompt_tokens;
}

void RequestTimeline::AddToken(SteadyTime time) {
  QNEXT_CHECK(time >= (tokens_.empty() ? start_ : tokens_.back()), "token times must not fall");
  tokens_.push_back(time);
}

std::vector<double> RequestTimeline::InterTokenSeconds() const {
  std::vector<double> gaps;
  for (size_t i = 1; i < tokens_.size(); ++i) gaps.push_back(Seconds(tokens_[i - 1], tokens_[i]));
  return gaps;
}

TimelineSummary RequestTimeline::Summarize() const {
  TimelineSummary summary;
  summary.prompt_tokens = prompt_tokens_;
  summary.completion_tokens = static_cast<int64_t>(tokens_.size());
  summary.queue_seconds = Seconds(arrival_, start_);
  summary.total_seconds = Seconds(arrival_, tokens_.empty() ? start_ : tokens_.back());
  if (tokens_.empty()) return summary;
  summary.first_token_seconds = Seconds(arrival_, tokens_.front());
  const double prefill = Seconds(start_, tokens_.front());
  if (prefill > 0) summary.prefill_tokens_per_second = static_cast<double>(prompt_tokens_) / prefill;
  if (tokens_.size() < 2) return summary;
  const double decode = Seconds(tokens_.front(), tokens_.back());
  if (decode > 0) summary.decode_tokens_per_second = static_cast<double>(tokens_.size() - 1) / decode;
  const std::vector<double> gaps = InterTokenSeconds();
  summary.inter_token_median_seconds = Percentile(gaps, 0.5);
  summary.inter_token_p95_seconds = Percentile(gaps, 0.95);
  return summary;
}

double Percentile(std::vector<double> samples, double fraction) {
  QNEXT_CHECK(!samples.empty(), "a percentile needs a sample");
  std::sort(samples.begin(), samples.end());
  const double rank = std::clamp(fraction, 0.0, 1.0) * static_cast<double>(samples.size() - 1);
  const size_t below = static_cast<size_t>(std::floor(rank));
  const size_t above = std::min(below + 1, samples.size() - 1);
  const double weight = rank - static_cast<double>(below);
  return samples[below] + weight * (samples[above] - samples[below]);
}

}  // namespace qnext
