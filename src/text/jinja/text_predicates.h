// str.isalpha and its relatives.
#pragma once

#include <string_view>

namespace qnext::jinja {

// At least one character, and all of that kind (isascii and isprintable accept the empty string).
bool AllAlnum(std::string_view text);
bool AllAlpha(std::string_view text);
bool AllAscii(std::string_view text);
bool AllDecimal(std::string_view text);
bool AllDigits(std::string_view text);
bool AllNumeric(std::string_view text);
bool AllPrintable(std::string_view text);
bool AllSpace(std::string_view text);

bool IsIdentifier(std::string_view text);
// At least one cased character, and none of another case.
bool IsLowerCase(std::string_view text);
bool IsUpperCase(std::string_view text);
// Words that begin with upper case and go on in lower case.
bool IsTitleCase(std::string_view text);

}  // namespace qnext::jinja
