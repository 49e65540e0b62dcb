#include "text/jinja/text_predicates.h"

#include "text/jinja/unicode.h"

namespace qnext::jinja {
namespace {

template <typename Predicate>
bool AllOf(std::string_view text, Predicate predicate) {
  for (size_t at = 0; at < text.size();) {
    const Decoded c = DecodeAt(text, at);
    if (!predicate(c.value)) return false;
    at += c.size;
  }
  return true;
}

template <typename Predicate>
bool NonEmptyAllOf(std::string_view text, Predicate predicate) {
  return !text.empty() && AllOf(text, predicate);
}

}  // namespace

bool AllAlnum(std::string_view text) { return NonEmptyAllOf(text, IsAlnum); }
bool AllAlpha(std::string_view text) { return NonEmptyAllOf(text, IsAlpha); }
bool AllDecimal(std::string_view text) { return NonEmptyAllOf(text, IsDecimal); }
bool AllDigits(std::string_view text) { return NonEmptyAllOf(text, IsDigit); }
bool AllNumeric(std::string_view text) { return NonEmptyAllOf(text, IsNumeric); }
bool AllSpace(std::string_view text) { return NonEmptyAllOf(text, IsSpace); }
bool AllPrintable(std::string_view text) { return AllOf(text, IsPrintable); }

bool AllAscii(std::string_view text) {
  return AllOf(text, [](char32_t c) { return c < 0x80; });
}

bool IsIdentifier(std::string_view text) {
  if (text.empty()) return false;
  const Decoded first = DecodeAt(text, 0);
  return IsIdentifierStart(first.value) && AllOf(text.substr(first.size), IsIdentifierPart);
}

bool IsLowerCase(std::string_view text) {
  bool cased = false;
  return AllOf(text,
               [&cased](char32_t c) {
                 if (IsUpper(c) || IsTitle(c)) return false;
                 cased = cased || IsLower(c);
                 return true;
               }) &&
         cased;
}

bool IsUpperCase(std::string_view text) {
  bool cased = false;
  return AllOf(text,
               [&cased](char32_t c) {
                 if (IsLower(c) || IsTitle(c)) return false;
                 cased = cased || IsUpper(c);
                 return true;
               }) &&
         cased;
}

bool IsTitleCase(std::string_view text) {
  bool cased = false;
  bool in_word = false;
  return AllOf(text,
               [&](char32_t c) {
                 const bool upper = IsUpper(c) || IsTitle(c);
                 const bool lower = IsLower(c);
                 if ((upper && in_word) || (lower && !in_word)) return false;
                 in_word = upper || lower;
                 cased = cased || in_word;
                 return true;
               }) &&
         cased;
}

}  // namespace qnext::jinja
