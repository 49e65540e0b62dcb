// Filters of single values.
#include <fmt/format.h>

#include <cmath>
#include <iterator>
#include <string>

#include "text/jinja/arguments.h"
#include "text/jinja/attribute.h"
#include "text/jinja/compare.h"
#include "text/jinja/error.h"
#include "text/jinja/filters.h"
#include "text/jinja/format_spec.h"
#include "text/jinja/number.h"
#include "text/jinja/print.h"

namespace qnext::jinja::filters {
namespace {

Value NeedNumber(const Value& value, std::string_view what) {
  if (value.Is(Kind::kUndefined)) FailUndefined(value);
  if (!value.IsNumber()) Fail(fmt::format("{}: a number is required, not '{}'", what, TypeName(value)));
  return value;
}

}  // namespace

Value Absolute(Runtime&, const Value& input, const Arguments& arguments) {
  NeedNoArguments("abs", arguments);
  const Value number = NeedNumber(input, "abs");
  if (number.Is(Kind::kFloat)) return Value::Float(std::fabs(number.AsFloat()));
  return number.AsInt() < 0 ? Negate(number) : Value::Integer(number.AsInt());
}

Value Attribute(Runtime& rt, const Value& input, const Arguments& arguments) {
  const Parameters given("attr", arguments, {"name"}, 1);
  return GetOnlyAttribute(rt, input, std::string(NeedText(given[0], "attr")));
}

Value Default(Runtime&, const Value& input, const Arguments& arguments) {
  const Parameters given("default", arguments, {"default_value", "boolean"});
  if (input.Is(Kind::kUndefined) || (given.FlagOr(1, false) && !Truthy(input))) return given.Or(0, Value::String(""));
  return input;
}

Value FileSize(Runtime& rt, const Value& input, const Arguments& arguments) {
  const Parameters given("filesizeformat", arguments, {"binary"});
  const Value number = FloatFilter(rt, input, {{Value::None()}, {}});
  if (number.Is(Kind::kNone)) Fail("filesizeformat: a number is required");
  const bool binary = given.FlagOr(0, false);
  const double bytes = number.AsFloat();
  const double base = binary ? 1024 : 1000;
  if (bytes == 1) return Value::String("1 Byte");
  if (bytes < base) return Value::String(IntText(FloatToInt(bytes)) + " Bytes");
  constexpr std::string_view kPrefixes = "kMGTPEZY";
  size_t at = 0;
  double unit = base * base;
  for (; bytes >= unit && at + 1 < kPrefixes.size(); ++at) unit *= base;
  const NumberText amount = FloatParts(base * bytes / unit, 'f', 1, /*alternate=*/false);
  std::string prefix(1, kPrefixes[at]);
  if (binary) prefix = at == 0 ? "Ki" : prefix + "i";
  return Value::String(fmt::format("{}{} {}B", amount.digits, amount.fraction, prefix));
}

Value FloatFilter(Runtime& rt, const Value& input, const Arguments& arguments) {
  const Parameters given("float", arguments, {"default"});
  if (input.Is(Kind::kUndefined)) FailUndefined(input);
  if (input.IsNumber()) return Value::Float(AsDouble(input));
  if (input.Is(Kind::kString)) {
    rt.WorkOn(input);
    if (const std::optional<double> number = ParseFloat(input.Text()); number.has_value()) {
      return Value::Float(*number);
    }
  }
  return given.Or(0, Value::Float(0));
}

Value IntFilter(Runtime& rt, const Value& input, const Arguments& arguments) {
  const Parameters given("int", arguments, {"default", "base"});
  Value fallback = given.Or(0, Value::Integer(0));
  const Int base = given.IntOr(1, 10);
  if (input.Is(Kind::kUndefined)) FailUndefined(input);
  if (input.IsIntegral()) return Value::Integer(input.AsInt());
  if (input.Is(Kind::kFloat)) {
    if (std::isnan(input.AsFloat())) return fallback;
    return Value::Integer(FloatToInt(input.AsFloat()));
  }
  if (!input.Is(Kind::kString)) return fallback;
  rt.WorkOn(input);
  const int small_base = base < 0 || base > 36 ? -1 : static_cast<int>(base);
  if (const std::optional<Int> number = ParseInt(input.Text(), small_base); number.has_value()) {
    return Value::Integer(*number);
  }
  // "42.23" is no integer, but the float it spells has a whole part.
  const std::optional<double> number = ParseFloat(input.Text());
  if (!number.has_value() || !std::isfinite(*number)) return fallback;
  return Value::Integer(FloatToInt(*number));
}

Value RoundFilter(Runtime& rt, const Value& input, const Arguments& arguments) {
  const Parameters given("round", arguments, {"precision", "method"});
  const std::string method = given.Find(1) == nullptr ? "common" : Str(rt, *given.Find(1));
  if (method != "common" && method != "ceil" && method != "floor") Fail("method must be common, ceil or floor");
  const Value number = NeedNumber(input, "round");
  const Value precision = given.Or(0, Value::Integer(0));
  if (method == "common") {
    if (!precision.Is(Kind::kNone)) return Round(number, NeedInt(precision, "round"));
    const Value rounded = Round(number, 0);
    return rounded.Is(Kind::kFloat) ? Value::Integer(FloatToInt(rounded.AsFloat())) : rounded;
  }
  const Value scale = Power(Value::Integer(10), NeedNumber(precision, "round"));
  const Value scaled = Multiply(number, scale);
  Value whole = scaled;
  if (scaled.Is(Kind::kFloat)) {
    const double value = scaled.AsFloat();
    whole = Value::Integer(FloatToInt(method == "ceil" ? std::ceil(value) : std::floor(value)));
  }
  return Divide(whole, scale);
}

}  // namespace qnext::jinja::filters
