#include "text/jinja/operators.h"

#include <fmt/format.h>

#include <string_view>

#include "text/jinja/compare.h"
#include "text/jinja/error.h"
#include "text/jinja/markup.h"
#include "text/jinja/number.h"
#include "text/jinja/print.h"

namespace qnext::jinja {
namespace {

std::string_view Sign(BinaryOp op) {
  switch (op) {
    case BinaryOp::kAdd:
      return "+";
    case BinaryOp::kSubtract:
      return "-";
    case BinaryOp::kMultiply:
      return "*";
    case BinaryOp::kDivide:
      return "/";
    case BinaryOp::kFloorDivide:
      return "//";
    case BinaryOp::kModulo:
      return "%";
    case BinaryOp::kPower:
      break;
  }
  return "**";
}

Value ApplyNumbers(BinaryOp op, const Value& a, const Value& b) {
  switch (op) {
    case BinaryOp::kAdd:
      return Add(a, b);
    case BinaryOp::kSubtract:
      return Subtract(a, b);
    case BinaryOp::kMultiply:
      return Multiply(a, b);
    case BinaryOp::kDivide:
      return Divide(a, b);
    case BinaryOp::kFloorDivide:
      return FloorDivide(a, b);
    case BinaryOp::kModulo:
      return Modulo(a, b);
    case BinaryOp::kPower:
      break;
  }
  return Power(a, b);
}

Value Repeat(Runtime& rt, const Value& sequence, Int count) {
  if (sequence.Is(Kind::kString)) {
    TextBuilder out(rt);
    out.AppendRepeated(sequence.Text(), count);
    return Value::String(out.Take(), sequence.IsMarkup());
  }
  const std::vector<Value>& items = sequence.Items();
  std::vector<Value> repeated;
  if (count > 0 && !items.empty()) {
    if (count > rt.options().max_output_bytes) FailLimit("a value or the output is larger than allowed");
    rt.CheckItems(count * static_cast<Int>(items.size()));
    const auto size = items.size() * static_cast<size_t>(count);
    rt.Built(size * sizeof(Value));
    repeated.reserve(size);
    for (Int i = 0; i < count; ++i) repeated.insert(repeated.end(), items.begin(), items.end());
  }
  return sequence.Is(Kind::kList) ? Value::List(std::move(repeated)) : Value::Tuple(std::move(repeated));
}

Value AddStrings(Runtime& rt, const Value& a, const Value& b) {
  const bool markup = a.IsMarkup() || b.IsMarkup();
  TextBuilder out(rt);
  if (markup) {
    out.Append(Escape(rt, a).Text());
    out.Append(Escape(rt, b).Text());
  } else {
    out.Append(a.Text());
    out.Append(b.Text());
  }
  return Value::String(out.Take(), markup);
}

Value AddSequences(Runtime& rt, const Value& a, const Value& b) {
  std::vector<Value> items;
  items.reserve(a.Items().size() + b.Items().size());
  items.insert(items.end(), a.Items().begin(), a.Items().end());
  items.insert(items.end(), b.Items().begin(), b.Items().end());
  return a.Is(Kind::kList) ? rt.List(std::move(items)) : rt.Tuple(std::move(items));
}

bool IsRepeatable(const Value& value) {
  return value.Is(Kind::kString) || value.Is(Kind::kList) || value.Is(Kind::kTuple);
}

}  // namespace

Value ApplyBinary(Runtime& rt, BinaryOp op, const Value& a, const Value& b) {
  if (a.IsNumber() && b.IsNumber()) return ApplyNumbers(op, a, b);
  if (op == BinaryOp::kModulo && a.Is(Kind::kString)) return PercentFormat(rt, a, b);
  if (a.Is(Kind::kUndefined) || b.Is(Kind::kUndefined)) FailUndefined(a.Is(Kind::kUndefined) ? a : b);
  if (op == BinaryOp::kAdd && a.kind() == b.kind()) {
    if (a.Is(Kind::kString)) return AddStrings(rt, a, b);
    if (a.Is(Kind::kList) || a.Is(Kind::kTuple)) return AddSequences(rt, a, b);
  }
  if (op == BinaryOp::kMultiply) {
    if (IsRepeatable(a) && b.IsIntegral()) return Repeat(rt, a, b.AsInt());
    if (IsRepeatable(b) && a.IsIntegral()) return Repeat(rt, b, a.AsInt());
  }
  Fail(fmt::format("unsupported operand types for {}: '{}' and '{}'", Sign(op), TypeName(a), TypeName(b)));
}

Value ApplyUnary(UnaryOp op, const Value& operand) {
  if (op == UnaryOp::kNot) return Value::Bool(!Truthy(operand));
  if (operand.Is(Kind::kUndefined)) FailUndefined(operand);
  if (!operand.IsNumber()) Fail(fmt::format("bad operand type for a sign: '{}'", TypeName(operand)));
  if (op == UnaryOp::kNegate) return Negate(operand);
  return operand.Is(Kind::kFloat) ? operand : Value::Integer(operand.AsInt());
}

bool ApplyCompare(Runtime& rt, CompareOp op, const Value& a, const Value& b) {
  switch (op) {
    case CompareOp::kEqual:
      return Equal(rt, a, b);
    case CompareOp::kNotEqual:
      return !Equal(rt, a, b);
    case CompareOp::kLess:
      return Compare(rt, Order::kLess, a, b);
    case CompareOp::kLessEqual:
      return Compare(rt, Order::kLessEqual, a, b);
    case CompareOp::kGreater:
      return Compare(rt, Order::kGreater, a, b);
    case CompareOp::kGreaterEqual:
      return Compare(rt, Order::kGreaterEqual, a, b);
    case CompareOp::kIn:
      return Contains(rt, b, a);
    case CompareOp::kNotIn:
      break;
  }
  return !Contains(rt, b, a);
}

}  // namespace qnext::jinja
