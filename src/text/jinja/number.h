// Python's numbers: parsing, printing, rounding and arithmetic with its signs, its exactness and its errors.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "text/jinja/value.h"

namespace qnext::jinja {

std::string IntText(Int value);
std::string FloatText(double value);  // repr(float): the shortest digits that read back as the same number

// int(text, base) and float(text); nothing when Python raises ValueError. Digits are ASCII.
std::optional<Int> ParseInt(std::string_view text, int base);
std::optional<double> ParseFloat(std::string_view text);

Int FloatToInt(double value);               // int(float); NaN and infinities are errors
std::optional<Int> ExactInt(double value);  // the integer that equals `value`, if there is one within 128 bits
double AsDouble(const Value& number);       // float(x) of a number
int64_t ClampToInt64(Int value);

// Arithmetic of two numbers (bools count as ints); errors as Python raises them.
Value Add(const Value& a, const Value& b);
Value Subtract(const Value& a, const Value& b);
Value Multiply(const Value& a, const Value& b);
Value Divide(const Value& a, const Value& b);
Value FloorDivide(const Value& a, const Value& b);
Value Modulo(const Value& a, const Value& b);
Value Power(const Value& a, const Value& b);
Value Negate(const Value& a);

// round(x, digits).
Value Round(const Value& number, Int digits);

}  // namespace qnext::jinja
