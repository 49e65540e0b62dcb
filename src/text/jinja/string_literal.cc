#include "text/jinja/string_literal.h"

#include <fmt/format.h>

#include <cstdint>
#include <iterator>
#include <optional>

#include "text/jinja/error.h"
#include "text/jinja/unicode.h"

namespace qnext::jinja {
namespace {

// Jinja encodes a literal to ASCII with backslash escapes for the rest before it decodes the escapes, and a backslash
// before a non-ASCII character thereby escapes the backslash of that character's own escape. Kept, byte for byte.
std::string EscapeNonAscii(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const Decoded c = DecodeAt(text, at);
    const auto code = static_cast<uint32_t>(c.value);
    if (code < 0x80) {
      out.push_back(text[at]);
    } else if (code <= 0xFF) {
      fmt::format_to(std::back_inserter(out), "\\x{:02x}", code);
    } else if (code <= 0xFFFF) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", code);
    } else {
      fmt::format_to(std::back_inserter(out), "\\U{:08x}", code);
    }
    at += c.size;
  }
  return out;
}

std::optional<uint32_t> HexNumber(std::string_view digits) {
  uint32_t value = 0;
  for (const char c : digits) {
    const char lower = static_cast<char>(c | 0x20);
    if (c >= '0' && c <= '9') {
      value = value * 16 + static_cast<uint32_t>(c - '0');
    } else if (lower >= 'a' && lower <= 'f') {
      value = value * 16 + static_cast<uint32_t>(lower - 'a' + 10);
    } else {
      return std::nullopt;
    }
  }
  return value;
}

void AppendCode(uint32_t code, int line, std::string* out) {
  if (code >= 0xD800 && code <= 0xDFFF) FailUnsupported(line, "a lone surrogate in a string literal");
  if (code > 0x10FFFF) FailSyntax(line, "illegal Unicode character in a string literal");
  AppendCodePoint(code, out);
}

// The character a one-letter escape stands for; 0 for other letters.
char SimpleEscape(char letter) {
  switch (letter) {
    case '\\':
    case '\'':
    case '"':
      return letter;
    case 'a':
      return '\a';
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    case 'v':
      return '\v';
    default:
      return 0;
  }
}

}  // namespace

std::string UnescapeLiteral(std::string_view literal, int line) {
  if (literal.find('\\') == std::string_view::npos) return std::string(literal);
  const std::string text = EscapeNonAscii(literal);
  std::string out;
  for (size_t at = 0; at < text.size();) {
    if (text[at] != '\\') {
      out.push_back(text[at++]);
      continue;
    }
    if (++at >= text.size()) FailSyntax(line, "\\ at end of string");
    const char letter = text[at++];
    if (letter == '\n') continue;
    if (const char simple = SimpleEscape(letter); simple != 0) {
      out.push_back(simple);
    } else if (letter >= '0' && letter <= '7') {
      uint32_t code = static_cast<uint32_t>(letter - '0');
      for (int i = 0; i < 2 && at < text.size() && text[at] >= '0' && text[at] <= '7'; ++i) {
        code = code * 8 + static_cast<uint32_t>(text[at++] - '0');
      }
      AppendCode(code, line, &out);
    } else if (letter == 'x' || letter == 'u' || letter == 'U') {
      const size_t digits = letter == 'x' ? 2 : letter == 'u' ? 4 : 8;
      const std::string_view rest = std::string_view(text).substr(at);
      const std::optional<uint32_t> code =
          rest.size() >= digits ? HexNumber(rest.substr(0, digits)) : std::optional<uint32_t>();
      if (!code.has_value()) FailSyntax(line, fmt::format("truncated \\{} escape", letter));
      AppendCode(*code, line, &out);
      at += digits;
    } else if (letter == 'N') {
      FailUnsupported(line, "\\N{...} in a string literal");
    } else {
      out.push_back('\\');
      out.push_back(letter);
    }
  }
  return out;
}

}  // namespace qnext::jinja
