// Prompts of a wanted number of tokens for a server whose tokenizer nobody knows.
//
// Nearly every tokenizer cuts text at spaces first, so a word costs the same wherever it stands. What each of some
// common words costs is asked once; prompts are then words in random order whose costs add up.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/function_ref.h"
#include "base/random.h"
#include "base/status.h"

namespace qnext {

// Immutable once made.
class TextPrompts {
 public:
  // Asks `count` for the tokens of about 18 texts of some 20 words. Its error is the result; kCorrupt when the answers
  // are no tokenizer's.
  static Result<TextPrompts> Measure(FunctionRef<Result<int64_t>(const std::string& text)> count);

  // Random words that cost `tokens` as measured, or as near to it as words come. Every prompt has the same first word
  // and goes on by chance from there.
  std::string Make(int64_t tokens, Random& random) const;

 private:
  struct Word {
    std::string_view text;
    int64_t cost = 0;
  };

  std::vector<Word> words_;
  int64_t base_ = 0;  // of the first word, and of what a tokenizer puts before every text
};

}  // namespace qnext
