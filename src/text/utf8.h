// UTF-8 checked the way Python's errors="replace" does: each maximal ill-formed part counts as one replacement.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace qnext {

bool IsValidUtf8(std::string_view text);

// The length of the longest valid prefix.
size_t ValidUtf8Prefix(std::string_view text);

// The text with each maximal ill-formed part replaced by U+FFFD.
std::string ReplaceInvalidUtf8(std::string_view text);

// The length of the longest prefix that does not end inside a character that more bytes could complete.
size_t CompleteUtf8Prefix(std::string_view text);

// How many of the leading bytes are ASCII.
size_t AsciiPrefix(std::string_view text);

// The bytes of a character whose first byte is `lead`, in valid UTF-8.
inline size_t Utf8Length(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

// The character at `text`, which must be valid UTF-8 (IsValidUtf8) and at the beginning of a character.
inline char32_t DecodeValidUtf8(const char* text) {
  const auto byte = [text](size_t i) { return static_cast<char32_t>(static_cast<unsigned char>(text[i])); };
  if (byte(0) < 0x80) return byte(0);
  if (byte(0) < 0xE0) return (byte(0) & 0x1F) << 6 | (byte(1) & 0x3F);
  if (byte(0) < 0xF0) return (byte(0) & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
  return (byte(0) & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F);
}

// `code` must be a Unicode scalar value.
void AppendUtf8(char32_t code, std::string* out);

}  // namespace qnext
