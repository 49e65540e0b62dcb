#include "text/detokenizer.h"

#include <utility>

#include "text/utf8.h"

namespace qnext {

Detokenizer::Detokenizer(const Tokenizer& tokenizer, bool skip_special)
    : tokenizer_(&tokenizer), skip_special_(skip_special) {}

std::string Detokenizer::Push(int32_t id) {
  if (skip_special_ && tokenizer_->IsSpecial(id)) return {};
  pending_.append(tokenizer_->TokenBytes(id));
  // An unfinished character at the end is one ill-formed part at most, so that what stands before it can be judged
  // without knowing what follows.
  const size_t certain = CompleteUtf8Prefix(pending_);
  std::string text = ReplaceInvalidUtf8(std::string_view(pending_).substr(0, certain));
  pending_.erase(0, certain);
  return text;
}

std::string Detokenizer::Finish() { return ReplaceInvalidUtf8(std::exchange(pending_, {})); }

}  // namespace qnext
