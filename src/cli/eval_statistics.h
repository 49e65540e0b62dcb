// The arithmetic of qnext eval: windows over a text, means with their standard errors, distances between two
// distributions of the next token.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/status.h"

namespace qnext {

// Tokens [begin, end) of a text go through the model together; of those, [first_scored, end) are scored.
struct TextWindow {
  int64_t begin = 0, end = 0;
  int64_t first_scored = 0;
};

// Windows of `window` tokens, each `stride` further on, over `tokens` of text: every token but the first is scored
// once, in the first window that holds it, and so with at least window - stride tokens before it (where the text has as
// many). 1 <= stride < window, tokens >= 2.
std::vector<TextWindow> PlanWindows(int64_t tokens, int64_t window, int64_t stride);

// Neighbouring tokens are alike, so the error of a mean over a text is taken from means of this many tokens in a row.
constexpr int64_t kErrorBlock = 64;

struct MeanWithError {
  double mean = 0;
  std::optional<double> standard_error;  // absent: fewer than two blocks
};

// The mean of `values` (at least one) and its standard error from blocks of `block` values in a row, the last one
// shorter: with B blocks of N values, sqrt(B / (B - 1) * sum over blocks of (sum of value - mean)^2) / N.
MeanWithError MeanOf(std::span<const double> values, int64_t block = kErrorBlock);

// ln of the sum of exp(logits). kInternal where one is NaN or +infinity, or all are -infinity: the model is broken.
Result<double> LogSum(std::span<const float> logits);

// How far the distribution of `second` is from that of `first` (logits of the same tokens).
struct Divergence {
  double kl = 0;           // of second from first, KL(first || second), in nats; exactly 0 of equal logits, never below
  bool same_top1 = false;  // the same most likely token
  double top5_overlap = 0;  // the share of the first's five most likely tokens that are among the second's five
};

// Equal logits count by rising id. kInternal as LogSum has it, and where `second` excludes a token that `first` does
// not.
Result<Divergence> Compare(std::span<const float> first, std::span<const float> second);

constexpr size_t kTop = 5;
// The ids of the kTop highest logits, falling, ties by rising id; -1 where there are fewer.
std::array<int32_t, kTop> TopIds(std::span<const float> logits);

}  // namespace qnext
