#include "bench/text_prompts.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>

namespace qnext {
namespace {

constexpr std::string_view kFirst = "Words";
// Of many lengths, so that bytes, syllables and words can all be added up to anything.
constexpr std::array<std::string_view, 16> kWords = {"a",      "in",    "the",  "time",  "water", "people",
                                                     "number", "one",   "day",  "which", "other", "there",
                                                     "made",   "under", "very", "new"};
constexpr int64_t kRepeats = 20;

std::string Repeated(std::string_view word, int64_t times) {
  std::string text(kFirst);
  for (int64_t i = 0; i < times; ++i) {
    text += ' ';
    text += word;
  }
  return text;
}

}  // namespace

Result<TextPrompts> TextPrompts::Measure(FunctionRef<Result<int64_t>(const std::string& text)> count) {
  TextPrompts prompts;
  // Two lengths of one word tell its cost from that of the beginning.
  QNEXT_ASSIGN_OR_RETURN(const int64_t shorter, count(Repeated(kWords[2], kRepeats)));
  QNEXT_ASSIGN_OR_RETURN(const int64_t longer, count(Repeated(kWords[2], 2 * kRepeats)));
  prompts.base_ = 2 * shorter - longer;
  if (longer - shorter < kRepeats || prompts.base_ < 0) {
    return Corrupt(fmt::format("usage.prompt_tokens: {} for {} words and {} for {} are no tokenizer's", shorter,
                               kRepeats + 1, longer, 2 * kRepeats + 1));
  }
  for (const std::string_view word : kWords) {
    QNEXT_ASSIGN_OR_RETURN(const int64_t tokens, count(Repeated(word, kRepeats)));
    const int64_t all = tokens - prompts.base_;
    // One whose cost depends on its neighbours is of no use.
    if (all >= kRepeats && all % kRepeats == 0) prompts.words_.push_back({.text = word, .cost = all / kRepeats});
  }
  if (prompts.words_.size() < kWords.size() / 2) {
    return Corrupt(
        fmt::format("usage.prompt_tokens: only {} of {} words cost the same wherever they stand, so nothing "
                    "can be said of a text's length",
                    prompts.words_.size(), kWords.size()));
  }
  return prompts;
}

std::string TextPrompts::Make(int64_t tokens, Random& random) const {
  const int64_t dearest = std::ranges::max(words_, {}, &Word::cost).cost;
  std::string text(kFirst);
  int64_t left = tokens - base_;
  const auto add = [&](const Word& word) {
    text += ' ';
    text += word.text;
    left -= word.cost;
  };
  while (left > 4 * dearest) add(words_[random.Below(words_.size())]);
  // The rest exactly, if words can do that: for each sum the last word of some way to it.
  std::vector<const Word*> last(static_cast<size_t>(std::max<int64_t>(left, 0)) + 1, nullptr);
  int64_t reached = 0;
  for (int64_t sum = 1; sum <= left; ++sum) {
    const size_t first = random.Below(words_.size());
    for (size_t i = 0; i < words_.size(); ++i) {
      const Word& word = words_[(first + i) % words_.size()];
      const int64_t before = sum - word.cost;
      if (before < 0 || (before > 0 && last[static_cast<size_t>(before)] == nullptr)) continue;
      last[static_cast<size_t>(sum)] = &word;
      reached = sum;
      break;
    }
  }
  while (reached > 0) {
    const Word* word = last[static_cast<size_t>(reached)];
    reached -= word->cost;
    add(*word);
  }
  return text;
}

}  // namespace qnext
