// Lookups into the tables of unicode_tables.cc.
#pragma once

namespace qnext::jinja {

struct SpecialCase {
  char32_t from;
  char32_t to[4];  // zero-terminated
};

// The characters that `c` becomes where that is more than one; null otherwise.
const char32_t* SpecialUpper(char32_t c);
const char32_t* SpecialTitle(char32_t c);
bool IsNonDecimalDigit(char32_t c);
bool IsNumericLetter(char32_t c);
bool IsOtherUppercase(char32_t c);
bool IsOtherLowercase(char32_t c);

}  // namespace qnext::jinja
