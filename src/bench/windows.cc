#include "bench/windows.h"

#include <algorithm>
#include <cstddef>

namespace qnext {
namespace {

// times[i]: when token i came. The tokens that have come at `time`, by straight lines between them; `at` is the last
// index with times[at] <= time, and only moves forward.
double TokensAt(const std::vector<double>& times, double time, size_t& at) {
  while (at + 1 < times.size() && times[at + 1] <= time) ++at;
  if (at + 1 == times.size()) return static_cast<double>(at);
  return static_cast<double>(at) + (time - times[at]) / (times[at + 1] - times[at]);
}

}  // namespace

SlowestWindow FindSlowestWindow(const std::vector<double>& gaps, double window) {
  if (gaps.empty()) return {};
  std::vector<double> times = {0};
  times.reserve(gaps.size() + 1);
  for (const double gap : gaps) times.push_back(times.back() + gap);
  const double all = times.back();
  const auto tokens = static_cast<double>(gaps.size());
  if (all <= 0) return {};
  if (all <= window) return {.tokens_per_second = tokens / all, .seconds = all};
  // The count is linear while neither end meets a token, so its least is where one of them does.
  double least = tokens;
  size_t begin_at = 0, end_at = 0;
  for (const double begin : times) {
    if (begin + window > all) break;
    least = std::min(least, TokensAt(times, begin + window, end_at) - TokensAt(times, begin, begin_at));
  }
  begin_at = end_at = 0;
  for (const double end : times) {
    if (end < window) continue;
    least = std::min(least, TokensAt(times, end, end_at) - TokensAt(times, end - window, begin_at));
  }
  return {.tokens_per_second = least / window, .seconds = window};
}

}  // namespace qnext
