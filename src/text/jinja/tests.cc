// The environment's tests ("is ...").
#include <algorithm>
#include <iterator>

#include "text/jinja/arguments.h"
#include "text/jinja/ast.h"
#include "text/jinja/compare.h"
#include "text/jinja/functions.h"
#include "text/jinja/iterator.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"
#include "text/jinja/text_predicates.h"

namespace qnext::jinja {
namespace {

// A test that looks at its operand alone.
template <bool (*kTest)(const Value&)>
bool Plain(Runtime&, const Value& input, const Arguments& arguments) {
  NeedNoArguments("test", arguments);
  return kTest(input);
}

template <CompareOp kOp>
bool CompareWith(Runtime& rt, const Value& input, const Arguments& arguments) {
  const Parameters given("comparison", arguments, {""}, 1);
  return ApplyCompare(rt, kOp, input, given[0]);
}

bool HasRemainder(Runtime& rt, const Value& value, const Value& divisor, Int remainder) {
  return Equal(rt, ApplyBinary(rt, BinaryOp::kModulo, value, divisor), Value::Integer(remainder));
}

template <Int kRemainder>
bool Parity(Runtime& rt, const Value& input, const Arguments& arguments) {
  NeedNoArguments("test", arguments);
  return HasRemainder(rt, input, Value::Integer(2), kRemainder);
}

bool DivisibleBy(Runtime& rt, const Value& input, const Arguments& arguments) {
  const Parameters given("divisibleby", arguments, {"num"}, 1);
  return HasRemainder(rt, input, given[0], 0);
}

bool IsUndefined(const Value& value) { return value.Is(Kind::kUndefined); }
bool IsDefined(const Value& value) { return !value.Is(Kind::kUndefined); }
bool IsNone(const Value& value) { return value.Is(Kind::kNone); }
bool IsBoolean(const Value& value) { return value.Is(Kind::kBool); }
bool IsTrue(const Value& value) { return value.Is(Kind::kBool) && value.AsBool(); }
bool IsFalse(const Value& value) { return value.Is(Kind::kBool) && !value.AsBool(); }
bool IsInteger(const Value& value) { return value.Is(Kind::kInt); }
bool IsFloat(const Value& value) { return value.Is(Kind::kFloat); }
bool IsNumberValue(const Value& value) { return value.IsNumber(); }
bool IsString(const Value& value) { return value.Is(Kind::kString); }
bool IsMapping(const Value& value) { return value.Is(Kind::kDict); }
bool IsEscaped(const Value& value) { return value.IsMarkup(); }
bool IsIterableValue(const Value& value) { return IsIterable(value); }

// What has a length and can be subscripted; Jinja's undefined values say that they can.
bool IsSequence(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
    case Kind::kString:
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kDict:
    case Kind::kRange:
      return true;
    default:
      return false;
  }
}

bool IsCallable(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:  // it has __call__, which fails
    case Kind::kMacro:
    case Kind::kFunction:
    case Kind::kMethod:
    case Kind::kLoop:
    case Kind::kJoiner:
      return true;
    default:
      return false;
  }
}

template <bool (*kPredicate)(std::string_view)>
bool OfText(Runtime& rt, const Value& input, const Arguments& arguments) {
  NeedNoArguments("test", arguments);
  return kPredicate(Str(rt, input));
}

bool IsFilter(Runtime&, const Value& input, const Arguments& arguments) {
  NeedNoArguments("filter", arguments);
  (void)HashKey(input);  // a lookup in a dict: unhashable values are an error
  return input.Is(Kind::kString) && IsJinjaFilter(input.Text());
}

bool IsTest(Runtime&, const Value& input, const Arguments& arguments) {
  NeedNoArguments("test", arguments);
  (void)HashKey(input);
  return input.Is(Kind::kString) && FindTest(input.Text()) != nullptr;
}

// Identity, as far as values here have one: equal scalars are the same (in Python that depends on the interpreter),
// containers are when they were made once.
bool SameAs(Runtime& rt, const Value& input, const Arguments& arguments) {
  const Parameters given("sameas", arguments, {"other"}, 1);
  const Value& other = given[0];
  if (input.kind() != other.kind()) return false;
  if (input.IsNumber() || input.Is(Kind::kNone)) return Equal(rt, input, other);
  if (input.Is(Kind::kString) && input.Text().size() <= 1) return input.Text() == other.Text();
  return input.object() == other.object();
}

bool In(Runtime& rt, const Value& input, const Arguments& arguments) {
  const Parameters given("in", arguments, {"seq"}, 1);
  return Contains(rt, given[0], input);
}

constexpr TestFunction kTests[] = {
    {"odd", Parity<1>},
    {"even", Parity<0>},
    {"divisibleby", DivisibleBy},
    {"defined", Plain<IsDefined>},
    {"undefined", Plain<IsUndefined>},
    {"filter", IsFilter},
    {"test", IsTest},
    {"none", Plain<IsNone>},
    {"boolean", Plain<IsBoolean>},
    {"false", Plain<IsFalse>},
    {"true", Plain<IsTrue>},
    {"integer", Plain<IsInteger>},
    {"float", Plain<IsFloat>},
    {"lower", OfText<IsLowerCase>},
    {"upper", OfText<IsUpperCase>},
    {"string", Plain<IsString>},
    {"mapping", Plain<IsMapping>},
    {"number", Plain<IsNumberValue>},
    {"sequence", Plain<IsSequence>},
    {"iterable", Plain<IsIterableValue>},
    {"callable", Plain<IsCallable>},
    {"sameas", SameAs},
    {"escaped", Plain<IsEscaped>},
    {"in", In},
    {"==", CompareWith<CompareOp::kEqual>},
    {"eq", CompareWith<CompareOp::kEqual>},
    {"equalto", CompareWith<CompareOp::kEqual>},
    {"!=", CompareWith<CompareOp::kNotEqual>},
    {"ne", CompareWith<CompareOp::kNotEqual>},
    {">", CompareWith<CompareOp::kGreater>},
    {"gt", CompareWith<CompareOp::kGreater>},
    {"greaterthan", CompareWith<CompareOp::kGreater>},
    {">=", CompareWith<CompareOp::kGreaterEqual>},
    {"ge", CompareWith<CompareOp::kGreaterEqual>},
    {"<", CompareWith<CompareOp::kLess>},
    {"lt", CompareWith<CompareOp::kLess>},
    {"lessthan", CompareWith<CompareOp::kLess>},
    {"<=", CompareWith<CompareOp::kLessEqual>},
    {"le", CompareWith<CompareOp::kLessEqual>},
};

}  // namespace

const TestFunction* FindTest(std::string_view name) {
  const auto* found = std::find_if(std::begin(kTests), std::end(kTests),
                                   [name](const TestFunction& test) { return test.name == name; });
  return found == std::end(kTests) ? nullptr : found;
}

}  // namespace qnext::jinja
