// Reading tokenizer.json: what of it is honoured, and the refusal of all else. docs/text.md
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "text/added_tokens.h"
#include "text/bpe.h"

namespace qnext {

struct TokenizerSpec {
  BpeSpec bpe;
  bool nfc = false;
  std::vector<std::string> split_patterns;  // applied in this order
  std::vector<AddedToken> added_tokens;
};

// kCorrupt for what is not JSON, lacks a field, has one of the wrong type or contradicts itself; kUnsupported for what
// this engine would have to ignore. Messages begin with the field.
Result<TokenizerSpec> ReadTokenizerSpec(const std::string& json_text);

}  // namespace qnext
