#include "cli/eval_statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"

namespace qnext {

std::vector<TextWindow> PlanWindows(int64_t tokens, int64_t window, int64_t stride) {
  QNEXT_CHECK(tokens >= 2 && stride >= 1 && stride < window, "windows overlap, over at least two tokens");
  std::vector<TextWindow> windows;
  int64_t scored = 1;
  for (int64_t begin = 0; scored < tokens; begin += stride) {
    const int64_t end = std::min(begin + window, tokens);
    windows.push_back({.begin = begin, .end = end, .first_scored = scored});
    scored = end;
  }
  return windows;
}

MeanWithError MeanOf(std::span<const double> values, int64_t block) {
  QNEXT_CHECK(!values.empty() && block >= 1, "a mean is one of something");
  double sum = 0;
  for (const double value : values) sum += value;
  const auto count = static_cast<double>(values.size());
  MeanWithError result{.mean = sum / count, .standard_error = std::nullopt};
  double squares = 0, blocks = 0;
  for (size_t begin = 0; begin < values.size(); begin += static_cast<size_t>(block)) {
    double off = 0;
    for (const double value : values.subspan(begin, std::min(static_cast<size_t>(block), values.size() - begin))) {
      off += value - result.mean;
    }
    squares += off * off;
    ++blocks;
  }
  if (blocks >= 2) result.standard_error = std::sqrt(blocks / (blocks - 1) * squares) / count;
  return result;
}

Result<double> LogSum(std::span<const float> logits) {
  float highest = -std::numeric_limits<float>::infinity();
  for (const float logit : logits) {
    if (std::isnan(logit) || logit == std::numeric_limits<float>::infinity()) {
      return Internal("the model gave a logit that is not a number");
    }
    highest = std::max(highest, logit);
  }
  if (std::isinf(highest)) return Internal("the model excluded every token");
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - static_cast<double>(highest));
  return std::log(sum) + static_cast<double>(highest);
}

std::array<int32_t, kTop> TopIds(std::span<const float> logits) {
  std::array<int32_t, kTop> ids;
  ids.fill(-1);
  const auto value = [&](int32_t id) {
    return id < 0 ? -std::numeric_limits<float>::infinity() : logits[static_cast<size_t>(id)];
  };
  float least = value(-1);
  for (size_t i = 0; i < logits.size(); ++i) {
    if (!(logits[i] > least)) continue;
    size_t at = kTop - 1;
    for (; at > 0 && logits[i] > value(ids[at - 1]); --at) ids[at] = ids[at - 1];
    ids[at] = static_cast<int32_t>(i);
    least = value(ids[kTop - 1]);
  }
  return ids;
}

Result<Divergence> Compare(std::span<const float> first, std::span<const float> second) {
  QNEXT_CHECK(first.size() == second.size(), "logits of the same tokens");
  QNEXT_ASSIGN_OR_RETURN(const double first_sum, LogSum(first));
  QNEXT_ASSIGN_OR_RETURN(const double second_sum, LogSum(second));
  double kl = 0;
  for (size_t i = 0; i < first.size(); ++i) {
    const double log_p = static_cast<double>(first[i]) - first_sum;
    const double p = std::exp(log_p);
    if (p == 0) continue;
    kl += p * (log_p - (static_cast<double>(second[i]) - second_sum));
  }
  if (!std::isfinite(kl)) return Internal("the second configuration excludes a token that the first does not");
  const std::array<int32_t, kTop> a = TopIds(first), b = TopIds(second);
  const auto shared = std::count_if(
      a.begin(), a.end(), [&](int32_t id) { return id >= 0 && std::find(b.begin(), b.end(), id) != b.end(); });
  const auto all = static_cast<int64_t>(std::min(first.size(), kTop));
  // Rounding may take a distance of nothing below 0.
  return Divergence{.kl = std::max(kl, 0.0),
                    .same_top1 = a[0] == b[0],
                    .top5_overlap = static_cast<double>(shared) / static_cast<double>(all)};
}

}  // namespace qnext
