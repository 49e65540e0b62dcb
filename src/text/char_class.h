// What a split pattern can tell apart about a character, as one byte per character. docs/text.md
#pragma once

#include <bitset>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace qnext {

// ASCII characters are their own class; any other is 0x80 + the number of its general category, but for the three that
// a pattern treats unlike the rest of their category.
inline constexpr uint8_t kFirstCategoryClass = 0x80;
inline constexpr uint8_t kNextLineClass = 0x9E;    // U+0085: a control, yet white space
inline constexpr uint8_t kLongSClass = 0x9F;       // U+017F: folds to s
inline constexpr uint8_t kKelvinSignClass = 0xA0;  // U+212A: folds to k

using ClassSet = std::bitset<256>;

// The classes of a general category ("Lu") or of a group of them ("L"); nothing for any other name.
std::optional<ClassSet> CategoryClasses(std::string_view name);

// The classes of white space: what \s matches.
ClassSet WhiteSpaceClasses();

// Immutable; thread-safe. The categories are those of the Python package `tokenizers`, whatever Unicode version the
// libraries of this machine know, because token ids must not depend on the latter.
class CharClasses {
 public:
  CharClasses();

  uint8_t ClassOf(char32_t code) const { return classes_[code]; }

  // One class byte per character. `text` must be valid UTF-8.
  std::string Classify(std::string_view text) const;

 private:
  std::vector<uint8_t> classes_;  // [0x110000]
};

}  // namespace qnext
