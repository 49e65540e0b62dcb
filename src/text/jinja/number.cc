#include "text/jinja/number.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>

#include "text/jinja/error.h"
#include "text/jinja/unicode.h"

namespace qnext::jinja {
namespace {

constexpr double kTwoTo127 = 170141183460469231731687303715884105728.0;

[[noreturn]] void FailTooLarge() { FailLimit("an integer exceeds 128 bits"); }
[[noreturn]] void FailDivision() { Fail("division by zero"); }

UInt Magnitude(Int value) { return value < 0 ? -static_cast<UInt>(value) : static_cast<UInt>(value); }

int DigitValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'z') return c - 'a' + 10;
  if (c >= 'A' && c <= 'Z') return c - 'A' + 10;
  return 36;
}

// a / b rounded once, as Python does it; a plain division of two doubles would round three times.
double DivideExactly(Int a, Int b) {
  constexpr UInt kExactDouble = UInt{1} << 53;
  const UInt numerator = Magnitude(a);
  const UInt denominator = Magnitude(b);
  double magnitude = 0;
  if (numerator <= kExactDouble && denominator <= kExactDouble) {
    magnitude = static_cast<double>(numerator) / static_cast<double>(denominator);
  } else {
    // Long division to 64 significant bits, the last one sticky; the conversion to double then rounds once.
    UInt quotient = numerator / denominator;
    UInt remainder = numerator % denominator;
    int exponent = 0;
    while (quotient < (UInt{1} << 63) && (quotient != 0 || remainder != 0)) {
      remainder <<= 1;
      quotient = (quotient << 1) | (remainder >= denominator ? 1 : 0);
      if (remainder >= denominator) remainder -= denominator;
      --exponent;
    }
    if (remainder != 0) quotient |= 1;
    magnitude = std::ldexp(static_cast<double>(quotient), exponent);
  }
  return (a < 0) != (b < 0) ? -magnitude : magnitude;
}

struct FloatDivision {
  double quotient;
  double remainder;
};

// Python's divmod of floats: the remainder takes the divisor's sign.
FloatDivision DivideFloats(double a, double b) {
  if (b == 0) FailDivision();
  double remainder = std::fmod(a, b);
  double quotient = (a - remainder) / b;
  if (remainder != 0) {
    if ((b < 0) != (remainder < 0)) {
      remainder += b;
      quotient -= 1.0;
    }
  } else {
    remainder = std::copysign(0.0, b);
  }
  if (quotient != 0) {
    const double floored = std::floor(quotient);
    quotient = quotient - floored > 0.5 ? floored + 1.0 : floored;
  } else {
    quotient = std::copysign(0.0, a / b);
  }
  return {quotient, remainder};
}

double FloatPower(double base, double exponent) {
  if (base == 0 && exponent < 0) Fail("0.0 cannot be raised to a negative power");
  if (std::isfinite(base) && std::isfinite(exponent) && base < 0 && exponent != std::floor(exponent)) {
    FailUnsupported(0, "a negative number to a fractional power (a complex number in Python)");
  }
  const double result = std::pow(base, exponent);
  if (std::isinf(result) && std::isfinite(base) && std::isfinite(exponent)) Fail("numerical result out of range");
  return result;
}

Int IntPower(Int base, Int exponent) {
  Int result = 1;
  while (exponent > 0) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result)) FailTooLarge();
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) FailTooLarge();
  }
  return result;
}

bool BothIntegral(const Value& a, const Value& b) { return a.IsIntegral() && b.IsIntegral(); }

// "%.*f": glibc prints the exact binary value, rounded half to even.
std::string FixedText(double value, int places) {
  const int size = std::snprintf(nullptr, 0, "%.*f", places, value);
  std::string text(static_cast<size_t>(size) + 1, '\0');
  std::snprintf(text.data(), text.size(), "%.*f", places, value);
  text.pop_back();
  return text;
}

Value RoundFloat(double value, Int digits) {
  if (!std::isfinite(value) || digits > 400) return Value::Float(value);
  if (digits < -320) return Value::Float(std::copysign(0.0, value));
  const int places = static_cast<int>(digits);
  if (places >= 0) {
    const double rounded = std::strtod(FixedText(value, places).c_str(), nullptr);
    if (std::isinf(rounded)) Fail("rounded value too large to represent");
    return Value::Float(rounded);
  }
  // Tens, hundreds and so on: halve at the decimal point of value / 10^-places, on the exact decimal digits.
  std::string number = FixedText(std::fabs(value), 1074);
  const size_t point = number.find('.');
  const size_t drop = static_cast<size_t>(-places);
  if (drop > point) return Value::Float(std::copysign(0.0, value));
  const std::string tail = number.substr(point - drop, drop) + number.substr(point + 1);
  std::string kept(1, '0');
  kept += number.substr(0, point - drop);
  std::string half(tail.size(), '0');
  half[0] = '5';
  const bool odd = ((kept.back() - '0') & 1) != 0;
  if (tail > half || (tail == half && odd)) {
    size_t at = kept.size() - 1;
    while (kept[at] == '9') kept[at--] = '0';
    ++kept[at];
  }
  kept.append(drop, '0');
  const double rounded = std::strtod(kept.c_str(), nullptr);
  if (std::isinf(rounded)) Fail("rounded value too large to represent");
  return Value::Float(std::copysign(rounded, value));
}

Value RoundInt(Int value, Int digits) {
  if (digits >= 0) return Value::Integer(value);
  if (digits < -38) return Value::Integer(0);
  const UInt unit = static_cast<UInt>(IntPower(10, -digits));
  const UInt magnitude = Magnitude(value);
  const UInt remainder = magnitude % unit;
  UInt kept = magnitude - remainder;
  const bool odd = ((kept / unit) & 1) != 0;
  if (remainder > unit - remainder || (remainder == unit - remainder && odd)) kept += unit;
  if (kept >= UInt{1} << 127) FailTooLarge();
  return Value::Integer(value < 0 ? -static_cast<Int>(kept) : static_cast<Int>(kept));
}

}  // namespace

std::string IntText(Int value) {
  char buffer[48];
  char* at = buffer + sizeof(buffer);
  UInt rest = Magnitude(value);
  do {
    *--at = static_cast<char>('0' + static_cast<int>(rest % 10));
    rest /= 10;
  } while (rest != 0);
  if (value < 0) *--at = '-';
  return {at, static_cast<size_t>(buffer + sizeof(buffer) - at)};
}

std::string FloatText(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[64];
  const auto scientific = std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::scientific);
  const std::string_view text(buffer, static_cast<size_t>(scientific.ptr - buffer));
  const size_t mark = text.find('e');
  int exponent = 0;
  const char* digits = text.data() + mark + 1;
  std::from_chars(*digits == '+' ? digits + 1 : digits, text.data() + text.size(), exponent);
  // Python writes exponents below -4 and from 16 on.
  if (exponent < -4 || exponent >= 16) return std::string(text);
  const auto fixed = std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::fixed);
  std::string result(buffer, static_cast<size_t>(fixed.ptr - buffer));
  if (result.find('.') == std::string::npos) result += ".0";
  return result;
}

std::optional<Int> ParseInt(std::string_view text, int base) {
  if (base != 0 && (base < 2 || base > 36)) return std::nullopt;
  text = StripLeft(StripRight(text));
  bool negative = false;
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) {
    negative = text[0] == '-';
    text.remove_prefix(1);
  }
  bool after_digit = false;  // an underscore must follow a digit or the base's prefix
  if (text.size() >= 2 && text[0] == '0') {
    const char letter = static_cast<char>(text[1] | 0x20);
    const int prefix_base = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 0;
    if (prefix_base != 0 && (base == 0 || base == prefix_base)) {
      base = prefix_base;
      text.remove_prefix(2);
      after_digit = true;
    }
  }
  const bool zero_only =
      base == 0 && !text.empty() && text[0] == '0';  // int("010", 0) is an error, int("00", 0) is not
  if (base == 0) base = 10;
  if (text.empty()) return std::nullopt;
  Int result = 0;
  for (const char c : text) {
    if (c == '_') {
      if (!after_digit) return std::nullopt;
      after_digit = false;
      continue;
    }
    const int digit = DigitValue(c);
    if (digit >= base || (zero_only && digit != 0)) return std::nullopt;
    if (__builtin_mul_overflow(result, Int{base}, &result) || __builtin_add_overflow(result, Int{digit}, &result)) {
      FailTooLarge();
    }
    after_digit = true;
  }
  if (!after_digit) return std::nullopt;
  return negative ? -result : result;
}

std::optional<double> ParseFloat(std::string_view text) {
  text = StripLeft(StripRight(text));
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '_') {  // only between digits
      const bool between = i > 0 && i + 1 < text.size() && DigitValue(text[i - 1]) < 10 && DigitValue(text[i + 1]) < 10;
      if (!between) return std::nullopt;
      continue;
    }
    plain.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c);
  }
  const char* at = plain.data();
  const char* end = at + plain.size();
  bool negative = false;
  if (at != end && (*at == '-' || *at == '+')) negative = *at++ == '-';
  const std::string_view body(at, static_cast<size_t>(end - at));
  if (body == "inf" || body == "infinity") {
    const double infinity = std::numeric_limits<double>::infinity();
    return negative ? -infinity : infinity;
  }
  if (body == "nan") return std::numeric_limits<double>::quiet_NaN();
  if (body.empty() || (DigitValue(body[0]) >= 10 && body[0] != '.')) return std::nullopt;
  double value = 0;
  const auto [stop, error] = std::from_chars(at, end, value, std::chars_format::general);
  if (error == std::errc::invalid_argument || stop != end) return std::nullopt;
  if (error == std::errc::result_out_of_range) value = std::strtod(std::string(body).c_str(), nullptr);
  return negative ? -value : value;
}

Int FloatToInt(double value) {
  if (std::isnan(value)) Fail("cannot convert float NaN to integer");
  if (std::isinf(value)) Fail("cannot convert float infinity to integer");
  if (std::fabs(value) >= kTwoTo127) FailTooLarge();
  return static_cast<Int>(value);
}

std::optional<Int> ExactInt(double value) {
  if (!std::isfinite(value) || std::fabs(value) >= kTwoTo127 || value != std::trunc(value)) return std::nullopt;
  return static_cast<Int>(value);
}

double AsDouble(const Value& number) {
  return number.Is(Kind::kFloat) ? number.AsFloat() : static_cast<double>(number.AsInt());
}

int64_t ClampToInt64(Int value) {
  return static_cast<int64_t>(
      std::clamp<Int>(value, std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()));
}

Value Add(const Value& a, const Value& b) {
  if (!BothIntegral(a, b)) return Value::Float(AsDouble(a) + AsDouble(b));
  Int result = 0;
  if (__builtin_add_overflow(a.AsInt(), b.AsInt(), &result)) FailTooLarge();
  return Value::Integer(result);
}

Value Subtract(const Value& a, const Value& b) {
  if (!BothIntegral(a, b)) return Value::Float(AsDouble(a) - AsDouble(b));
  Int result = 0;
  if (__builtin_sub_overflow(a.AsInt(), b.AsInt(), &result)) FailTooLarge();
  return Value::Integer(result);
}

Value Multiply(const Value& a, const Value& b) {
  if (!BothIntegral(a, b)) return Value::Float(AsDouble(a) * AsDouble(b));
  Int result = 0;
  if (__builtin_mul_overflow(a.AsInt(), b.AsInt(), &result)) FailTooLarge();
  return Value::Integer(result);
}

Value Divide(const Value& a, const Value& b) {
  if (BothIntegral(a, b)) {
    if (b.AsInt() == 0) FailDivision();
    return Value::Float(DivideExactly(a.AsInt(), b.AsInt()));
  }
  if (AsDouble(b) == 0) FailDivision();
  return Value::Float(AsDouble(a) / AsDouble(b));
}

Value FloorDivide(const Value& a, const Value& b) {
  if (!BothIntegral(a, b)) return Value::Float(DivideFloats(AsDouble(a), AsDouble(b)).quotient);
  const Int divisor = b.AsInt();
  if (divisor == 0) FailDivision();
  if (divisor == -1) return Negate(a);  // the one quotient that can overflow
  const Int quotient = a.AsInt() / divisor;
  const Int remainder = a.AsInt() % divisor;
  return Value::Integer(remainder != 0 && (remainder < 0) != (divisor < 0) ? quotient - 1 : quotient);
}

Value Modulo(const Value& a, const Value& b) {
  if (!BothIntegral(a, b)) return Value::Float(DivideFloats(AsDouble(a), AsDouble(b)).remainder);
  const Int divisor = b.AsInt();
  if (divisor == 0) FailDivision();
  if (divisor == -1) return Value::Integer(0);
  const Int remainder = a.AsInt() % divisor;
  return Value::Integer(remainder != 0 && (remainder < 0) != (divisor < 0) ? remainder + divisor : remainder);
}

Value Power(const Value& a, const Value& b) {
  if (!BothIntegral(a, b)) return Value::Float(FloatPower(AsDouble(a), AsDouble(b)));
  if (b.AsInt() >= 0) return Value::Integer(IntPower(a.AsInt(), b.AsInt()));
  return Value::Float(FloatPower(AsDouble(a), AsDouble(b)));
}

Value Negate(const Value& a) {
  if (a.Is(Kind::kFloat)) return Value::Float(-a.AsFloat());
  return Subtract(Value::Integer(0), a);
}

Value Round(const Value& number, Int digits) {
  return number.Is(Kind::kFloat) ? RoundFloat(number.AsFloat(), digits) : RoundInt(number.AsInt(), digits);
}

}  // namespace qnext::jinja
