#include "text/jinja/format_spec.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "text/jinja/error.h"
#include "text/jinja/number.h"
#include "text/jinja/print.h"
#include "text/jinja/unicode.h"

namespace qnext::jinja {
namespace {

// More digits than any double has; longer precisions only add zeros.
constexpr Int kMaxPrecision = 2000;

bool IsAlign(char c) { return c == '<' || c == '>' || c == '^' || c == '='; }

Int ReadNumber(std::string_view text, size_t* at) {
  Int number = 0;
  while (*at < text.size() && text[*at] >= '0' && text[*at] <= '9') {
    number = number * 10 + (text[*at] - '0');
    if (number > 1'000'000'000) Fail("Too many decimal digits in format string");
    ++*at;
  }
  return number;
}

std::string CFormat(double value, char type, Int precision, bool alternate) {
  const char format[] = {
      '%', alternate ? '#' : '.', alternate ? '.' : '*', alternate ? '*' : type, alternate ? type : '\0', '\0'};
  if (precision > kMaxPrecision) FailLimit("a float format's precision is larger than this engine allows");
  const int places = static_cast<int>(precision);
  const int size = std::snprintf(nullptr, 0, format, places, value);
  std::string text(static_cast<size_t>(size) + 1, '\0');
  std::snprintf(text.data(), text.size(), format, places, value);
  text.pop_back();
  return text;
}

// The general format with at least one digit after the point: what a precision without a type means.
std::string GeneralWithPoint(double value, Int precision, bool alternate) {
  precision = std::max<Int>(precision, 1);
  std::string scientific = CFormat(value, 'e', precision - 1, /*alternate=*/false);
  const size_t mark = scientific.find('e');
  const int exponent = std::stoi(scientific.substr(mark + 1));
  if (exponent < -4 || Int{exponent} + 1 > precision - 1) {
    std::string digits = scientific.substr(0, mark);
    if (!alternate && digits.find('.') != std::string::npos) {
      digits.erase(digits.find_last_not_of('0') + 1);
      if (digits.back() == '.') digits.pop_back();
    }
    return digits + scientific.substr(mark);
  }
  std::string text = CFormat(value, 'g', precision, alternate);
  if (text.find('.') == std::string::npos) text += ".0";
  return text;
}

// Digits with separators; zeros in front up to `min_width`, separated as well.
std::string Group(const std::string& digits, char separator, Int group, Int min_width) {
  std::string reversed;
  auto remaining = static_cast<Int>(digits.size());
  while (true) {
    const Int length = std::min(group, std::max<Int>(std::max(remaining, min_width), 1));
    for (Int i = 0; i < length; ++i) {
      reversed.push_back(remaining > 0 ? digits[static_cast<size_t>(remaining - 1)] : '0');
      --remaining;
    }
    min_width -= length;
    if (remaining <= 0 && min_width <= 0) break;
    reversed.push_back(separator);
    --min_width;
  }
  return {reversed.rbegin(), reversed.rend()};
}

std::string FormatText(Runtime& rt, std::string_view text, const FormatSpec& spec) {
  if (spec.type != '\0' && spec.type != 's') {
    Fail(fmt::format("Unknown format code '{}' for object of type 'str'", spec.type));
  }
  if (spec.sign != '-') Fail("Sign not allowed in string format specifier");
  if (spec.alternate) Fail("Alternate form (#) not allowed in string format specifier");
  if (spec.grouping != '\0') Fail("Cannot specify ',' with 's'.");
  if (spec.align == '=') Fail("'=' alignment not allowed in string format specifier");
  if (spec.precision >= 0) {
    const Int kept = std::min<Int>(spec.precision, static_cast<Int>(text.size()));
    text = text.substr(0, OffsetOfCodePoint(text, static_cast<size_t>(kept)));
  }
  return PadText(rt, text, spec);
}

std::string FormatFloat(Runtime& rt, double value, const FormatSpec& spec) {
  constexpr std::string_view kTypes = "eEfFgGn%";
  if (spec.type != '\0' && kTypes.find(spec.type) == std::string_view::npos) {
    Fail(fmt::format("Unknown format code '{}' for object of type 'float'", spec.type));
  }
  return PadNumber(rt, FloatParts(value, spec.type == 'n' ? 'g' : spec.type, spec.precision, spec.alternate), spec);
}

std::string FormatInt(Runtime& rt, Int value, const FormatSpec& spec) {
  NumberText number;
  number.negative = value < 0;
  int base = 10;
  switch (spec.type) {
    case '\0':
    case 'd':
    case 'n':
      break;
    case 'b':
      base = 2;
      break;
    case 'o':
      base = 8;
      break;
    case 'x':
    case 'X':
      base = 16;
      break;
    case 'c': {
      if (spec.sign != '-' || spec.alternate) Fail("Sign not allowed with integer format specifier 'c'");
      if (value < 0 || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) Fail("%c arg not in range(0x110000)");
      AppendCodePoint(static_cast<char32_t>(value), &number.digits);
      FormatSpec text_spec = spec;
      if (text_spec.align == '\0') text_spec.align = '>';
      return PadText(rt, number.digits, text_spec);
    }
    default:
      return FormatFloat(rt, static_cast<double>(value), spec);
  }
  if (spec.precision >= 0) Fail("Precision not allowed in integer format specifier");
  if (spec.grouping == ',' && base != 10) Fail(fmt::format("Cannot specify ',' with '{}'.", spec.type));
  number.digits = DigitsIn(value, base, spec.type == 'X');
  if (spec.alternate && base != 10)
    number.prefix = base == 2 ? "0b" : base == 8 ? "0o" : spec.type == 'X' ? "0X" : "0x";
  return PadNumber(rt, number, spec);
}

}  // namespace

FormatSpec ParseFormatSpec(std::string_view text) {
  FormatSpec spec;
  size_t at = 0;
  bool fill_given = false;
  if (!text.empty()) {
    const size_t first = DecodeAt(text, 0).size;
    if (first < text.size() && IsAlign(text[first])) {
      spec.fill = std::string(text.substr(0, first));
      spec.align = text[first];
      fill_given = true;
      at = first + 1;
    } else if (IsAlign(text[0])) {
      spec.align = text[0];
      at = 1;
    }
  }
  const auto next_is = [&](char c) { return at < text.size() && text[at] == c; };
  if (next_is('+') || next_is('-') || next_is(' ')) spec.sign = text[at++];
  if (next_is('#')) {
    spec.alternate = true;
    ++at;
  }
  if (!fill_given && next_is('0')) {
    spec.fill.assign(1, '0');
    spec.zero = true;
    ++at;
  }
  spec.width = ReadNumber(text, &at);
  if (next_is(',') || next_is('_')) spec.grouping = text[at++];
  if (next_is('.')) {
    const size_t digits = ++at;
    spec.precision = ReadNumber(text, &at);
    if (at == digits) Fail("Format specifier missing precision");
  }
  if (at + 1 < text.size()) Fail(fmt::format("Invalid format specifier '{}'", text));
  if (at < text.size()) spec.type = text[at];
  return spec;
}

std::string DigitsIn(Int value, int base, bool upper) {
  const char* letters = upper ? "0123456789ABCDEF" : "0123456789abcdef";
  UInt rest = value < 0 ? -static_cast<UInt>(value) : static_cast<UInt>(value);
  std::string digits;
  do {
    digits.push_back(letters[static_cast<size_t>(rest % static_cast<UInt>(base))]);
    rest /= static_cast<UInt>(base);
  } while (rest != 0);
  std::reverse(digits.begin(), digits.end());
  return digits;
}

NumberText FloatParts(double value, char type, Int precision, bool alternate) {
  NumberText number;
  number.negative = std::signbit(value) && !std::isnan(value);
  double magnitude = std::fabs(value);
  if (type == '%') magnitude *= 100;
  const bool upper = type == 'E' || type == 'F' || type == 'G';
  std::string text;
  if (std::isnan(value)) {
    text = std::string_view(upper ? "NAN" : "nan");
  } else if (std::isinf(value)) {
    text = std::string_view(upper ? "INF" : "inf");
  } else if (type == '\0') {
    text = precision < 0 ? FloatText(magnitude) : GeneralWithPoint(magnitude, precision, alternate);
  } else {
    const char c_type = type == '%' ? 'f' : type;
    const bool general = type == 'g' || type == 'G';
    const Int places = precision < 0 ? 6 : general ? std::max<Int>(precision, 1) : precision;
    text = CFormat(magnitude, c_type, places, alternate);
  }
  if (type == '%') text.push_back('%');
  const size_t whole = std::isfinite(value) ? text.find_first_not_of("0123456789") : text.size();
  number.digits = text.substr(0, whole);
  if (whole < text.size()) number.fraction = text.substr(whole);
  return number;
}

std::string PadNumber(Runtime& rt, const NumberText& number, const FormatSpec& spec) {
  std::string sign;
  if (number.negative || spec.sign != '-') sign.push_back(number.negative ? '-' : spec.sign);
  sign += number.prefix;
  const char align = spec.align != '\0' ? spec.align : spec.zero ? '=' : '>';
  const Int room = spec.width - static_cast<Int>(sign.size() + number.fraction.size());
  if (room > rt.options().max_output_bytes) FailLimit("a format's width is larger than allowed");
  std::string digits = number.digits;
  if (spec.grouping != '\0') {
    const bool by_four =
        spec.grouping == '_' && (spec.type == 'b' || spec.type == 'o' || spec.type == 'x' || spec.type == 'X');
    digits = Group(digits, spec.grouping, by_four ? 4 : 3, align == '=' && spec.fill == "0" ? room : 0);
  }
  if (align != '=') {
    FormatSpec text_spec = spec;
    text_spec.align = align;
    return PadText(rt, sign + digits + number.fraction, text_spec);
  }
  TextBuilder out(rt);
  out.Append(sign);
  out.AppendRepeated(spec.fill, room - static_cast<Int>(digits.size()));
  out.Append(digits);
  out.Append(number.fraction);
  return out.Take();
}

std::string PadText(Runtime& rt, std::string_view text, const FormatSpec& spec) {
  const Int missing = std::max<Int>(spec.width - static_cast<Int>(CountCodePoints(text)), 0);
  const Int before = spec.align == '>' ? missing : spec.align == '^' ? missing / 2 : 0;
  TextBuilder out(rt);
  out.AppendRepeated(spec.fill, before);
  out.Append(text);
  out.AppendRepeated(spec.fill, missing - before);
  return out.Take();
}

std::string Format(Runtime& rt, const Value& value, std::string_view spec_text) {
  if (spec_text.empty()) return Str(rt, value);
  if (value.Is(Kind::kString)) return FormatText(rt, value.Text(), ParseFormatSpec(spec_text));
  if (value.IsIntegral()) return FormatInt(rt, value.AsInt(), ParseFormatSpec(spec_text));
  if (value.Is(Kind::kFloat)) return FormatFloat(rt, value.AsFloat(), ParseFormatSpec(spec_text));
  Fail(fmt::format("unsupported format string passed to {}.__format__", TypeName(value)));
}

}  // namespace qnext::jinja
