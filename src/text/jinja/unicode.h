// Python's view of text: strings are UTF-8 here, but positions, lengths and properties are those of code points.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace qnext::jinja {

struct Decoded {
  char32_t value;
  size_t size;  // bytes
};

// All functions below except IsWellFormed need well-formed UTF-8 (no surrogates); everything that enters is checked.
bool IsWellFormed(std::string_view text);
Decoded DecodeAt(std::string_view text, size_t offset);
void AppendCodePoint(char32_t value, std::string* out);
size_t CountCodePoints(std::string_view text);
// The byte offset of code point `index`; text.size() when the text is shorter.
size_t OffsetOfCodePoint(std::string_view text, size_t index);
std::string ReverseCodePoints(std::string_view text);

// Python's str methods of the same names, special casing (ß, final sigma, ligatures) included.
std::string Upper(std::string_view text);
std::string Lower(std::string_view text);
std::string Title(std::string_view text);
std::string Capitalize(std::string_view text);
std::string SwapCase(std::string_view text);
std::string CaseFold(std::string_view text);

bool IsSpace(char32_t c);
bool IsAlpha(char32_t c);
bool IsDecimal(char32_t c);
bool IsDigit(char32_t c);
bool IsNumeric(char32_t c);
bool IsAlnum(char32_t c);
bool IsUpper(char32_t c);
bool IsLower(char32_t c);
bool IsTitle(char32_t c);
bool IsPrintable(char32_t c);
bool IsIdentifierStart(char32_t c);
bool IsIdentifierPart(char32_t c);
bool IsLineBreak(char32_t c);

std::string_view StripLeft(std::string_view text);
std::string_view StripRight(std::string_view text);

// std::string_view::find in linear time whatever the pattern; npos when absent.
size_t FindBytes(std::string_view text, std::string_view pattern, size_t from);
size_t FindLastBytes(std::string_view text, std::string_view pattern);

}  // namespace qnext::jinja
