// The regular expressions of pre-tokenizers, translated from characters to character classes. docs/text.md
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace qnext {

// A PCRE2 pattern over class bytes (char_class.h) that matches where `pattern` does in the Python package `tokenizers`.
// Only the part of the syntax that means the same there (Oniguruma with Ruby's syntax) is accepted: alternatives,
// groups, (?i:) around ASCII letters, lookahead, character sets without operations, \s \S \d \D \p{} \P{} with general
// categories, the repetitions ? * + {n,m}, and no unbounded repetition of a group, which keeps matching fast. Anything
// else is a kUnsupported error that names the construct and its position.
Result<std::string> TranslateSplitPattern(std::string_view pattern);

}  // namespace qnext
