// Tokens to text, one token at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "text/tokenizer.h"

namespace qnext {

// Push returns the text that is now certain, valid until the next call; bytes of an unfinished character are held back
// until the next token or Finish. The pieces concatenated equal Tokenizer::Decode of all the tokens. Allocates only for
// broken characters and for tokens of some hundred bytes. One thread at a time; `tokenizer` must outlive it.
class Detokenizer {
 public:
  Detokenizer(const Tokenizer& tokenizer, bool skip_special);

  std::string_view Push(int32_t id);
  std::string_view Finish();  // the held-back bytes, as U+FFFD

 private:
  // The first `bytes` of what is pending, made valid.
  std::string_view Release(size_t bytes);

  const Tokenizer* tokenizer_;
  bool skip_special_;
  std::string pending_;
  std::string ready_;
};

}  // namespace qnext
