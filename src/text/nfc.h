// Normalization form C, with the Unicode version of the Python package `tokenizers`. docs/text.md
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace qnext {

// No shorter than this, in bytes, is `text` in form C; found without normalizing. Form C divides a length by 3.5 at
// most (U+1FBE U+0308 U+0301, seven bytes, is U+0390, two), and leaves an ASCII character alone that nothing but ASCII
// follows.
size_t LeastNfcSize(std::string_view text);

// Immutable; thread-safe. A code point that the package's Unicode version does not know stays as it is and nothing
// combines or is reordered across it, even where this machine's utf8proc knows it. Linear in the text, but for sorting
// the combining marks of one character.
class NfcNormalizer {
 public:
  NfcNormalizer();

  // `text` must be valid UTF-8. Nothing if no character of it can change.
  std::optional<std::string> Normalize(std::string_view text) const;

 private:
  enum class Role : uint8_t {
    kInert,    // unchanged by and no part of any normalization
    kStarter,  // in form C and begins a character, but may compose with what follows
    kChanges,  // may be reordered, replaced or composed with what stands before it
  };

  void NormalizeRun(std::u32string_view run, std::string* out) const;

  std::vector<Role> roles_;  // [0x110000]
};

}  // namespace qnext
