// Tokens to text, one token at a time.
#pragma once

#include <cstdint>
#include <string>

#include "text/tokenizer.h"

namespace qnext {

// Push returns the text that is now certain; bytes of an unfinished character are held back until the next token or
// Finish. The pieces concatenated equal Tokenizer::Decode of all the tokens. One thread at a time; `tokenizer` must
// outlive it.
class Detokenizer {
 public:
  Detokenizer(const Tokenizer& tokenizer, bool skip_special);

  std::string Push(int32_t id);
  std::string Finish();  // the held-back bytes, as U+FFFD

 private:
  const Tokenizer* tokenizer_;
  bool skip_special_;
  std::string pending_;
};

}  // namespace qnext
