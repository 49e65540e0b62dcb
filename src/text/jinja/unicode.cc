#include "text/jinja/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstring>
#include <initializer_list>

#include "text/jinja/unicode_tables.h"

namespace qnext::jinja {
namespace {

utf8proc_int32_t Code(char32_t c) { return static_cast<utf8proc_int32_t>(c); }

const unsigned char* Bytes(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

bool IsContinuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

bool IsAscii(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x80; });
}

std::string MapAscii(std::string_view text, char first, char last, char flip) {
  std::string out(text);
  for (char& c : out) {
    if (c >= first && c <= last) c = static_cast<char>(c ^ flip);
  }
  return out;
}

template <typename PerChar>
std::string MapChars(std::string_view text, PerChar per_char) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const Decoded c = DecodeAt(text, at);
    per_char(c.value, at, &out);
    at += c.size;
  }
  return out;
}

void AppendMapped(const char32_t* special, char32_t simple, std::string* out) {
  if (special == nullptr) {
    AppendCodePoint(simple, out);
    return;
  }
  for (; *special != 0; ++special) AppendCodePoint(*special, out);
}

void AppendUpper(char32_t c, std::string* out) {
  AppendMapped(SpecialUpper(c), static_cast<char32_t>(utf8proc_toupper(Code(c))), out);
}

void AppendTitle(char32_t c, std::string* out) {
  AppendMapped(SpecialTitle(c), static_cast<char32_t>(utf8proc_totitle(Code(c))), out);
}

bool IsCased(char32_t c) { return IsUpper(c) || IsLower(c) || IsTitle(c); }

// Unicode's Case_Ignorable.
bool IsCaseIgnorable(char32_t c) {
  switch (utf8proc_category(Code(c))) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
      return true;
    default:
      break;
  }
  for (const char32_t other : {0x27, 0x2E, 0x3A, 0xB7, 0x387, 0x55F, 0x5F4, 0x2018, 0x2019, 0x2024, 0x2027, 0xFE13,
                               0xFE52, 0xFE55, 0xFF07, 0xFF0E, 0xFF1A}) {
    if (c == other) return true;
  }
  return false;
}

// Whether the capital sigma at `at` ends a word: a cased character stands before it and none after it, case-ignorable
// ones left out.
bool IsFinalSigma(std::string_view text, size_t at) {
  size_t before = at;
  bool cased_before = false;
  while (before > 0) {
    do --before;
    while (before > 0 && IsContinuation(text[before]));
    const char32_t c = DecodeAt(text, before).value;
    if (IsCaseIgnorable(c)) continue;
    cased_before = IsCased(c);
    break;
  }
  if (!cased_before) return false;
  for (size_t after = at + DecodeAt(text, at).size; after < text.size();) {
    const Decoded c = DecodeAt(text, after);
    if (!IsCaseIgnorable(c.value)) return !IsCased(c.value);
    after += c.size;
  }
  return true;
}

void AppendLower(std::string_view text, size_t at, char32_t c, std::string* out) {
  if (c == 0x3A3) {
    AppendCodePoint(IsFinalSigma(text, at) ? 0x3C2 : 0x3C3, out);
  } else if (c == 0x130) {  // the only character whose lower case is two
    AppendCodePoint('i', out);
    AppendCodePoint(0x307, out);
  } else {
    AppendCodePoint(static_cast<char32_t>(utf8proc_tolower(Code(c))), out);
  }
}

}  // namespace

bool IsWellFormed(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    if (static_cast<unsigned char>(text[at]) < 0x80) {
      ++at;
      continue;
    }
    utf8proc_int32_t c = 0;
    const auto size = utf8proc_iterate(Bytes(text) + at, static_cast<utf8proc_ssize_t>(text.size() - at), &c);
    if (size < 1) return false;
    at += static_cast<size_t>(size);
  }
  return true;
}

Decoded DecodeAt(std::string_view text, size_t offset) {
  const auto first = static_cast<unsigned char>(text[offset]);
  if (first < 0x80) return {first, 1};
  utf8proc_int32_t c = 0;
  const auto size = utf8proc_iterate(Bytes(text) + offset, static_cast<utf8proc_ssize_t>(text.size() - offset), &c);
  return {static_cast<char32_t>(c), static_cast<size_t>(size)};
}

void AppendCodePoint(char32_t value, std::string* out) {
  if (value < 0x80) {
    out->push_back(static_cast<char>(value));
    return;
  }
  utf8proc_uint8_t bytes[4];
  const auto size = utf8proc_encode_char(Code(value), bytes);
  out->append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
}

size_t CountCodePoints(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return !IsContinuation(c); }));
}

size_t OffsetOfCodePoint(std::string_view text, size_t index) {
  size_t at = 0;
  for (; at < text.size(); ++at) {
    if (IsContinuation(text[at])) continue;
    if (index == 0) return at;
    --index;
  }
  return text.size();
}

std::string ReverseCodePoints(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t end = text.size(); end > 0;) {
    size_t start = end - 1;
    while (start > 0 && IsContinuation(text[start])) --start;
    out.append(text.substr(start, end - start));
    end = start;
  }
  return out;
}

std::string Upper(std::string_view text) {
  if (IsAscii(text)) return MapAscii(text, 'a', 'z', 0x20);
  return MapChars(text, [](char32_t c, size_t, std::string* out) { AppendUpper(c, out); });
}

std::string Lower(std::string_view text) {
  if (IsAscii(text)) return MapAscii(text, 'A', 'Z', 0x20);
  return MapChars(text, [text](char32_t c, size_t at, std::string* out) { AppendLower(text, at, c, out); });
}

std::string Title(std::string_view text) {
  bool in_word = false;
  return MapChars(text, [text, &in_word](char32_t c, size_t at, std::string* out) {
    if (in_word) {
      AppendLower(text, at, c, out);
    } else {
      AppendTitle(c, out);
    }
    in_word = IsCased(c);
  });
}

std::string Capitalize(std::string_view text) {
  return MapChars(text, [text](char32_t c, size_t at, std::string* out) {
    if (at == 0) {
      AppendTitle(c, out);
    } else {
      AppendLower(text, at, c, out);
    }
  });
}

std::string SwapCase(std::string_view text) {
  return MapChars(text, [text](char32_t c, size_t at, std::string* out) {
    if (IsUpper(c)) {
      AppendLower(text, at, c, out);
    } else if (IsLower(c)) {
      AppendUpper(c, out);
    } else {
      AppendCodePoint(c, out);
    }
  });
}

std::string CaseFold(std::string_view text) {
  if (IsAscii(text)) return Lower(text);
  return MapChars(text, [](char32_t c, size_t, std::string* out) {
    utf8proc_int32_t folded[8];
    int boundary = UTF8PROC_BOUNDCLASS_START;
    const auto count = utf8proc_decompose_char(Code(c), folded, 8, UTF8PROC_CASEFOLD, &boundary);
    for (utf8proc_ssize_t i = 0; i < std::min<utf8proc_ssize_t>(count, 8); ++i) {
      AppendCodePoint(static_cast<char32_t>(folded[i]), out);
    }
  });
}

bool IsSpace(char32_t c) {
  if (c < 0x80) return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
         c == 0x202F || c == 0x205F || c == 0x3000;
}

bool IsAlpha(char32_t c) {
  if (c < 0x80) return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  const auto category = utf8proc_category(Code(c));
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

bool IsDecimal(char32_t c) {
  if (c < 0x80) return c >= '0' && c <= '9';
  return utf8proc_category(Code(c)) == UTF8PROC_CATEGORY_ND;
}

bool IsDigit(char32_t c) { return IsDecimal(c) || IsNonDecimalDigit(c); }

bool IsNumeric(char32_t c) {
  if (c < 0x80) return c >= '0' && c <= '9';
  const auto category = utf8proc_category(Code(c));
  return (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO) || IsNumericLetter(c);
}

bool IsAlnum(char32_t c) { return IsAlpha(c) || IsNumeric(c); }

bool IsUpper(char32_t c) {
  if (c < 0x80) return c >= 'A' && c <= 'Z';
  return utf8proc_category(Code(c)) == UTF8PROC_CATEGORY_LU || IsOtherUppercase(c);
}

bool IsLower(char32_t c) {
  if (c < 0x80) return c >= 'a' && c <= 'z';
  return utf8proc_category(Code(c)) == UTF8PROC_CATEGORY_LL || IsOtherLowercase(c);
}

bool IsTitle(char32_t c) { return c >= 0x80 && utf8proc_category(Code(c)) == UTF8PROC_CATEGORY_LT; }

bool IsPrintable(char32_t c) {
  if (c < 0x80) return c >= 0x20 && c < 0x7F;
  switch (utf8proc_category(Code(c))) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return false;
    default:
      return true;
  }
}

bool IsIdentifierStart(char32_t c) {
  return c == '_' || IsAlpha(c) || (c >= 0x80 && utf8proc_category(Code(c)) == UTF8PROC_CATEGORY_NL);
}

bool IsIdentifierPart(char32_t c) {
  if (IsIdentifierStart(c) || IsDecimal(c) || c == 0xB7 || c == 0x387) return true;
  if (c < 0x80) return false;
  const auto category = utf8proc_category(Code(c));
  return category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_MC || category == UTF8PROC_CATEGORY_PC;
}

bool IsLineBreak(char32_t c) {
  return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

std::string_view StripLeft(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const Decoded c = DecodeAt(text, at);
    if (!IsSpace(c.value)) break;
    at += c.size;
  }
  return text.substr(at);
}

std::string_view StripRight(std::string_view text) {
  size_t end = text.size();
  while (end > 0) {
    size_t start = end - 1;
    while (start > 0 && IsContinuation(text[start])) --start;
    if (!IsSpace(DecodeAt(text, start).value)) break;
    end = start;
  }
  return text.substr(0, end);
}

size_t FindBytes(std::string_view text, std::string_view pattern, size_t from) {
  if (from > text.size()) return std::string_view::npos;
  if (pattern.empty()) return from;
  // std::string_view::find is quadratic for periodic texts; the C library's memmem is not.
  const void* found = memmem(text.data() + from, text.size() - from, pattern.data(), pattern.size());
  if (found == nullptr) return std::string_view::npos;
  return static_cast<size_t>(static_cast<const char*>(found) - text.data());
}

size_t FindLastBytes(std::string_view text, std::string_view pattern) {
  const std::string reversed_text(text.rbegin(), text.rend());
  const std::string reversed_pattern(pattern.rbegin(), pattern.rend());
  const size_t found = FindBytes(reversed_text, reversed_pattern, 0);
  return found == std::string_view::npos ? found : text.size() - pattern.size() - found;
}

}  // namespace qnext::jinja
