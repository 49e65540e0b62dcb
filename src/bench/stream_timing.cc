#include "bench/stream_timing.h"

#include <fmt/core.h>

#include <algorithm>

namespace qnext {
namespace {

double Seconds(SteadyTime from, SteadyTime to) { return std::chrono::duration<double>(to - from).count(); }

// Tokens that had come with piece i: said by the server, or spread evenly. At least one with the first, all with the
// last.
std::vector<int64_t> TokensByPiece(const std::vector<StreamPiece>& pieces, int64_t tokens) {
  const int64_t count = static_cast<int64_t>(pieces.size());
  const bool told =
      std::ranges::all_of(pieces, [](const StreamPiece& piece) { return piece.tokens_so_far.has_value(); });
  std::vector<int64_t> so_far;
  for (int64_t i = 0; i < count; ++i) {
    so_far.push_back(told ? *pieces[static_cast<size_t>(i)].tokens_so_far : (i + 1) * tokens / count);
  }
  so_far.front() = std::max<int64_t>(so_far.front(), 1);
  so_far.back() = tokens;
  return so_far;
}

}  // namespace

Result<RunSample> TimeStream(SteadyTime sent, const std::vector<StreamPiece>& pieces, const StreamUsage& usage) {
  const int64_t tokens = usage.completion_tokens;
  if (usage.prompt_tokens < 1 || tokens < 0) {
    return Corrupt(
        fmt::format("usage: {} prompt tokens and {} completion tokens cannot be", usage.prompt_tokens, tokens));
  }
  if (pieces.empty() || tokens == 0) {
    return Corrupt(fmt::format("the answer had {} pieces of text and {} tokens", pieces.size(), tokens));
  }
  const std::vector<int64_t> so_far = TokensByPiece(pieces, tokens);
  if (!std::ranges::is_sorted(so_far)) return Corrupt("usage: the running number of tokens falls");

  RunSample sample;
  SteadyTime last = pieces.front().time;
  for (size_t i = 1; i < pieces.size(); ++i) {
    const int64_t came = so_far[i] - so_far[i - 1];
    if (came == 0) continue;  // its time belongs to the next token
    const double each = Seconds(last, pieces[i].time) / static_cast<double>(came);
    sample.inter_token_seconds.insert(sample.inter_token_seconds.end(), static_cast<size_t>(came), each);
    last = pieces[i].time;
  }
  TimelineSummary& summary = sample.summary;
  summary.prompt_tokens = usage.prompt_tokens;
  summary.completion_tokens = tokens;
  summary.first_token_seconds = Seconds(sent, pieces.front().time);
  summary.total_seconds = Seconds(sent, last);
  if (*summary.first_token_seconds > 0) {
    summary.prefill_tokens_per_second = static_cast<double>(usage.prompt_tokens) / *summary.first_token_seconds;
  }
  const double decode = Seconds(pieces.front().time, last);
  if (decode > 0) {
    summary.decode_tokens_per_second = static_cast<double>(tokens - so_far.front()) / decode;
    summary.inter_token_median_seconds = Percentile(sample.inter_token_seconds, 0.5);
    summary.inter_token_p95_seconds = Percentile(sample.inter_token_seconds, 0.95);
  }
  return sample;
}

}  // namespace qnext
