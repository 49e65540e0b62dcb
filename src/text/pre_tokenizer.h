// Cutting text into the pieces that byte-pair merges stay within. docs/text.md
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/function_ref.h"
#include "base/status.h"
#include "text/char_class.h"

namespace qnext {

// Split patterns applied one after the other: each cuts every piece of the one before into its matches and what lies
// between them. Immutable; thread-safe.
class PreTokenizer {
 public:
  // A pattern that this engine cannot honour (split_pattern.h), or that can match nothing at all, is kUnsupported.
  static Result<PreTokenizer> Create(const std::vector<std::string>& patterns);

  PreTokenizer(PreTokenizer&&) noexcept;
  PreTokenizer& operator=(PreTokenizer&&) noexcept;
  ~PreTokenizer();

  // Calls visit for each piece, in order and none empty. `text` must be valid UTF-8, of any length: what matching needs
  // to remember does not grow with it.
  void Split(std::string_view text, FunctionRef<void(std::string_view)> visit) const;

 private:
  class Pattern;
  class Scratch;

  PreTokenizer();
  // Calls visit with the length of each piece of `classes`.
  void SplitClasses(size_t level, std::string_view classes, const Scratch& scratch,
                    FunctionRef<void(size_t)> visit) const;

  CharClasses classes_;
  std::vector<Pattern> patterns_;
};

}  // namespace qnext
