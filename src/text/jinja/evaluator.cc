// The interpreter's expressions.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "text/jinja/arguments.h"
#include "text/jinja/attribute.h"
#include "text/jinja/compare.h"
#include "text/jinja/error.h"
#include "text/jinja/functions.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/iterator.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"

namespace qnext::jinja {

// Each kind has a function of its own, so that this one, which recursion goes through, stays small on the stack.
Value Interpreter::Evaluate(const Expr& expr, const Variables& variables) {
  if (expr.kind == ExprKind::kConst) return static_cast<const ConstExpr&>(expr).value;
  rt_.Step();
  if (expr.kind == ExprKind::kName) return EvaluateName(static_cast<const NameExpr&>(expr), *variables);
  const DepthGuard guard(rt_);
  switch (expr.kind) {
    case ExprKind::kConst:
    case ExprKind::kName:
    case ExprKind::kNamespaceRef:
      break;  // above, or no expression
    case ExprKind::kList:
    case ExprKind::kTuple:
      return EvaluateSequence(static_cast<const SequenceExpr&>(expr), variables);
    case ExprKind::kConcat:
      return EvaluateConcat(static_cast<const SequenceExpr&>(expr), variables);
    case ExprKind::kDict:
      return EvaluateDict(static_cast<const DictExpr&>(expr), variables);
    case ExprKind::kUnary: {
      const auto& unary = static_cast<const UnaryExpr&>(expr);
      return ApplyUnary(unary.op, Evaluate(*unary.operand, variables));
    }
    case ExprKind::kBinary:
      return EvaluateBinary(static_cast<const BinaryExpr&>(expr), variables);
    case ExprKind::kLogic:
      return EvaluateLogic(static_cast<const LogicExpr&>(expr), variables);
    case ExprKind::kCompare:
      return EvaluateCompare(static_cast<const CompareExpr&>(expr), variables);
    case ExprKind::kConditional:
      return EvaluateConditional(static_cast<const ConditionalExpr&>(expr), variables);
    case ExprKind::kAttribute:
      return EvaluateAttribute(static_cast<const AttributeExpr&>(expr), variables);
    case ExprKind::kItem:
      return EvaluateItem(static_cast<const ItemExpr&>(expr), variables);
    case ExprKind::kSlice:
      return EvaluateSlice(static_cast<const SliceExpr&>(expr), variables);
    case ExprKind::kCall:
      return EvaluateCall(static_cast<const CallExpr&>(expr), nullptr, variables);
    case ExprKind::kFilter:
      return EvaluateFilter(static_cast<const FilterExpr&>(expr), nullptr, variables);
    case ExprKind::kTest:
      return EvaluateTest(static_cast<const TestExpr&>(expr), variables);
  }
  return {};
}

Value Interpreter::EvaluateName(const NameExpr& name, Activation& variables) {
  const Value& value = SlotOf(name.slot, variables);
  return value.Is(Kind::kMissing) ? Value::Undefined(fmt::format("'{}' is undefined", name.name)) : value;
}

Value Interpreter::EvaluateSequence(const SequenceExpr& sequence, const Variables& variables) {
  std::vector<Value> items;
  items.reserve(sequence.items.size());
  for (const ExprPtr& item : sequence.items) items.push_back(Evaluate(*item, variables));
  return sequence.kind == ExprKind::kList ? rt_.List(std::move(items)) : rt_.Tuple(std::move(items));
}

Value Interpreter::EvaluateConcat(const SequenceExpr& concat, const Variables& variables) {
  TextBuilder out(rt_);
  for (const ExprPtr& item : concat.items) {
    const Value value = Evaluate(*item, variables);
    rt_.line = concat.line;
    AppendStr(value, &out);
  }
  return Value::String(out.Take());
}

Value Interpreter::EvaluateDict(const DictExpr& dict, const Variables& variables) {
  auto made = std::make_shared<DictObject>();
  rt_.Built(dict.items.size() * DictObject::kEntryBytes);
  for (const auto& [key_expr, value_expr] : dict.items) {
    Value key = Evaluate(*key_expr, variables);
    Value value = Evaluate(*value_expr, variables);
    rt_.line = dict.line;
    rt_.WorkOn(key);
    made->Set(std::move(key), std::move(value));
  }
  return MakeDict(std::move(made));
}

Value Interpreter::EvaluateBinary(const BinaryExpr& binary, const Variables& variables) {
  const Value left = Evaluate(*binary.left, variables);
  const Value right = Evaluate(*binary.right, variables);
  rt_.line = binary.line;
  return ApplyBinary(rt_, binary.op, left, right);
}

Value Interpreter::EvaluateLogic(const LogicExpr& logic, const Variables& variables) {
  Value left = Evaluate(*logic.left, variables);
  return Truthy(left) == (logic.op == LogicOp::kAnd) ? Evaluate(*logic.right, variables) : left;
}

Value Interpreter::EvaluateCompare(const CompareExpr& compare, const Variables& variables) {
  Value left = Evaluate(*compare.first, variables);
  for (const auto& [op, operand] : compare.rest) {
    Value right = Evaluate(*operand, variables);
    rt_.line = compare.line;
    if (!ApplyCompare(rt_, op, left, right)) return Value::Bool(false);
    left = std::move(right);
  }
  return Value::Bool(true);
}

Value Interpreter::EvaluateConditional(const ConditionalExpr& conditional, const Variables& variables) {
  if (Truthy(Evaluate(*conditional.test, variables))) return Evaluate(*conditional.if_true, variables);
  if (conditional.if_false != nullptr) return Evaluate(*conditional.if_false, variables);
  return Value::Undefined(fmt::format(
      "the inline if-expression on line {} evaluated to false and no else section was defined.", conditional.line));
}

Value Interpreter::EvaluateAttribute(const AttributeExpr& attribute, const Variables& variables) {
  const Value object = Evaluate(*attribute.object, variables);
  rt_.line = attribute.line;
  return GetAttribute(rt_, object, attribute.name);
}

Value Interpreter::EvaluateItem(const ItemExpr& item, const Variables& variables) {
  const Value object = Evaluate(*item.object, variables);
  const Value index = Evaluate(*item.index, variables);
  rt_.line = item.line;
  return GetItem(rt_, object, index);
}

Value Interpreter::EvaluateSlice(const SliceExpr& slice, const Variables& variables) {
  const Value object = Evaluate(*slice.object, variables);
  const auto bound = [&](const ExprPtr& expr) { return expr == nullptr ? Value::None() : Evaluate(*expr, variables); };
  const Value start = bound(slice.start);
  const Value stop = bound(slice.stop);
  const Value step = bound(slice.step);
  rt_.line = slice.line;
  return GetSlice(rt_, object, start, stop, step);
}

Value Interpreter::EvaluateTest(const TestExpr& test, const Variables& variables) {
  const Value input = Evaluate(*test.input, variables);
  Arguments arguments;
  EvaluateArguments(test.arguments, variables, &arguments);
  rt_.line = test.line;
  return Value::Bool(test.test.call(rt_, input, arguments));
}

Value Interpreter::EvaluateFilter(const FilterExpr& filter, const Value* input, const Variables& variables) {
  const DepthGuard guard(rt_);
  Value value;
  if (filter.input == nullptr) {
    value = *input;
  } else if (filter.input->kind == ExprKind::kFilter) {
    value = EvaluateFilter(static_cast<const FilterExpr&>(*filter.input), input, variables);
  } else {
    value = Evaluate(*filter.input, variables);
  }
  Arguments arguments;
  EvaluateArguments(filter.arguments, variables, &arguments);
  rt_.line = filter.line;
  rt_.Step();
  rt_.WorkOnCharacters(value);
  rt_.WorkOn(arguments);
  return filter.filter.call(rt_, value, arguments);
}

Value Interpreter::EvaluateCall(const CallExpr& call, const Value* caller, const Variables& variables) {
  const Value callee = Evaluate(*call.callee, variables);
  Arguments arguments;
  EvaluateArguments(call.arguments, variables, &arguments);
  if (caller != nullptr) arguments.named.emplace_back("caller", *caller);
  rt_.line = call.line;
  return Call(callee, arguments);
}

void Interpreter::EvaluateArguments(const CallArguments& expressions, const Variables& variables,
                                    Arguments* arguments) {
  for (const ExprPtr& expr : expressions.positional) arguments->positional.push_back(Evaluate(*expr, variables));
  for (const auto& [name, expr] : expressions.named) arguments->named.emplace_back(name, Evaluate(*expr, variables));
  if (expressions.more_positional != nullptr) {
    for (Value& value : ToVector(rt_, Evaluate(*expressions.more_positional, variables))) {
      arguments->positional.push_back(std::move(value));
    }
  }
  if (expressions.more_named == nullptr) return;
  const Value more = Evaluate(*expressions.more_named, variables);
  if (more.Is(Kind::kUndefined)) FailUndefined(more);
  if (!more.Is(Kind::kDict)) Fail(fmt::format("argument after ** must be a mapping, not {}", TypeName(more)));
  for (const auto& [key, value] : more.As<DictObject>().entries()) {
    if (!key.Is(Kind::kString)) Fail("keywords must be strings");
    for (const auto& [name, given] : arguments->named) {
      if (name == key.Text()) Fail(fmt::format("got multiple values for keyword argument '{}'", name));
    }
    arguments->named.emplace_back(std::string(key.Text()), value);
  }
}

Value Interpreter::Call(const Value& callee, const Arguments& arguments) {
  const DepthGuard guard(rt_);
  rt_.Step();
  switch (callee.kind()) {
    case Kind::kMacro:
      return CallMacro(callee.As<MacroObject>(), arguments);
    case Kind::kFunction:
      rt_.WorkOn(arguments);
      return callee.As<FunctionObject>().function.call(rt_, arguments);
    case Kind::kMethod: {
      const auto& method = callee.As<MethodObject>();
      return CallMethod(rt_, method.self, method.name, arguments);
    }
    case Kind::kLoop: {
      const auto& loop = callee.As<LoopObject>();
      const Parameters given("loop", arguments, {"iterable"}, 1);
      if (loop.recursive == nullptr) {
        Fail("The loop must have the 'recursive' marker to be called recursively.");
      }
      return Value::String(RunRecursiveLoop(*loop.recursive, loop.closure, given[0], loop.depth0 + 1));
    }
    case Kind::kJoiner: {
      NeedNoArguments("joiner", arguments);
      auto& joiner = callee.As<JoinerObject>();
      return std::exchange(joiner.used, true) ? joiner.separator : Value::String("");
    }
    case Kind::kUndefined:
      FailUndefined(callee);
    default:
      Fail(fmt::format("'{}' object is not callable", TypeName(callee)));
  }
}

Value Interpreter::CallMacro(const MacroObject& macro, const Arguments& arguments) {
  const MacroBody& body = *macro.body;
  const Variables variables = NewActivation(body.slots, macro.closure);
  BindParameters(body, arguments, *variables);
  EnterScope(body.scope, *variables);
  const size_t required = body.parameters.size() - body.defaults.size();
  for (size_t i = 0; i < body.parameters.size(); ++i) {
    const auto slot = static_cast<size_t>(body.parameter_slots[i]);
    if (!variables->slots[slot].Is(Kind::kMissing)) continue;
    // Evaluating a default may not move the slots, but it may read them: assign afterwards.
    Value value = i < required ? Value::Undefined(fmt::format("parameter '{}' was not provided", body.parameters[i]))
                               : Evaluate(*body.defaults[i - required], variables);
    variables->slots[slot] = std::move(value);
  }
  TextBuilder out(rt_);
  Execute(body.body, variables, &out);
  return Value::String(out.Take());
}

void Interpreter::BindParameters(const MacroBody& macro, const Arguments& arguments, Activation& variables) {
  const size_t count = macro.parameters.size();
  const size_t positional = std::min(count, arguments.positional.size());
  for (size_t i = 0; i < positional; ++i) {
    variables.slots[static_cast<size_t>(macro.parameter_slots[i])] = arguments.positional[i];
  }
  std::shared_ptr<DictObject> rest;
  Value caller = Value::None();
  for (const auto& [name, value] : arguments.named) {
    const auto found =
        std::find(macro.parameters.begin() + static_cast<std::ptrdiff_t>(positional), macro.parameters.end(), name);
    if (found != macro.parameters.end()) {
      const auto at = static_cast<size_t>(found - macro.parameters.begin());
      variables.slots[static_cast<size_t>(macro.parameter_slots[at])] = value;
    } else if (name == "caller" && macro.caller_slot >= 0) {
      caller = value;
    } else if (macro.kwargs_slot >= 0) {
      if (rest == nullptr) rest = std::make_shared<DictObject>();
      rest->Set(Value::String(name), value);
    } else {
      Fail(fmt::format("macro '{}' takes no keyword argument '{}'", macro.name, name));
    }
  }
  if (macro.caller_slot >= 0) {
    variables.slots[static_cast<size_t>(macro.caller_slot)] =
        caller.Is(Kind::kNone) ? Value::Undefined("No caller defined") : caller;
  }
  if (macro.kwargs_slot >= 0) {
    if (rest == nullptr) rest = std::make_shared<DictObject>();
    variables.slots[static_cast<size_t>(macro.kwargs_slot)] = MakeDict(std::move(rest));
  }
  if (macro.varargs_slot >= 0) {
    variables.slots[static_cast<size_t>(macro.varargs_slot)] =
        rt_.Tuple({arguments.positional.begin() + static_cast<std::ptrdiff_t>(positional), arguments.positional.end()});
  } else if (arguments.positional.size() > count) {
    Fail(fmt::format("macro '{}' takes not more than {} argument(s)", macro.name, count));
  }
}

}  // namespace qnext::jinja
