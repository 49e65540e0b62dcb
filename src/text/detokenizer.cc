#include "text/detokenizer.h"

#include "text/utf8.h"

namespace qnext {
namespace {

constexpr size_t kRoom = 512;  // bytes of one token and an unfinished character, as good as always

}  // namespace

Detokenizer::Detokenizer(const Tokenizer& tokenizer, bool skip_special)
    : tokenizer_(&tokenizer), skip_special_(skip_special) {
  pending_.reserve(kRoom);
  ready_.reserve(kRoom);
}

std::string_view Detokenizer::Push(int32_t id) {
  if (skip_special_ && tokenizer_->IsSpecial(id)) return {};
  pending_.append(tokenizer_->TokenBytes(id));
  // An unfinished character at the end is one ill-formed part at most, so that what stands before it can be judged
  // without knowing what follows.
  return Release(CompleteUtf8Prefix(pending_));
}

std::string_view Detokenizer::Finish() { return Release(pending_.size()); }

std::string_view Detokenizer::Release(size_t bytes) {
  const std::string_view raw = std::string_view(pending_).substr(0, bytes);
  if (IsValidUtf8(raw)) {
    ready_.assign(raw);
  } else {
    ready_ = ReplaceInvalidUtf8(raw);
  }
  pending_.erase(0, bytes);
  return ready_;
}

}  // namespace qnext
