// RequestTimeline: when a request arrived, when its work began, and when each of its tokens was ready.
//
// The definitions of all latency and speed figures of this program; everything that reports one takes it from here:
//
//   time to first token   first token - arrival; waiting and prefill are in it
//   prefill tokens/s      prompt tokens / (first token - start of the prefill)
//   inter-token latency   the differences between one token and the next; the first token has none
//   decode tokens/s       (tokens - 1) / (last token - first token): 1 / the mean inter-token latency
//
// Times are those of the engine, taken when a token has been picked, before its text is handed on.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

namespace qnext {

using SteadyTime = std::chrono::steady_clock::time_point;

// The figures of one finished request. What needs more tokens than there were is absent.
struct TimelineSummary {
  int64_t prompt_tokens = 0;
  int64_t completion_tokens = 0;
  double queue_seconds = 0;  // arrival to the start of the prefill
  std::optional<double> first_token_seconds;
  std::optional<double> prefill_tokens_per_second;
  std::optional<double> decode_tokens_per_second;    // from 2 tokens on
  std::optional<double> inter_token_median_seconds;  // from 2 tokens on
  std::optional<double> inter_token_p95_seconds;     // from 2 tokens on
  double total_seconds = 0;                          // arrival to the last token (to the start where there is none)
};

// Times must not fall from call to call. One thread at a time.
class RequestTimeline {
 public:
  explicit RequestTimeline(SteadyTime arrival) : arrival_(arrival), start_(arrival) {}

  // The prefill of `prompt_tokens` begins. Once, before the first token.
  void Start(SteadyTime time, int64_t prompt_tokens);
  void AddToken(SteadyTime time);
  // Takes the memory of that many tokens, so that adding them takes none.
  void Reserve(int64_t tokens) { tokens_.reserve(static_cast<size_t>(tokens)); }

  SteadyTime arrival() const { return arrival_; }
  SteadyTime start() const { return start_; }
  const std::vector<SteadyTime>& tokens() const { return tokens_; }
  std::vector<double> InterTokenSeconds() const;  // [max(tokens - 1, 0)]
  TimelineSummary Summarize() const;

 private:
  SteadyTime arrival_;
  SteadyTime start_;
  int64_t prompt_tokens_ = 0;
  std::vector<SteadyTime> tokens_;
};

// The value below which `fraction` (0 .. 1) of the samples lie, interpolated linearly between the two nearest ranks
// (fraction 0: the minimum, 1: the maximum). `samples` must not be empty.
double Percentile(std::vector<double> samples, double fraction);

}  // namespace qnext
