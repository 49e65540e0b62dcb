#include "text/jinja/interpreter.h"

#include <fmt/format.h>

#include <utility>

#include "text/jinja/compare.h"
#include "text/jinja/error.h"
#include "text/jinja/iterator.h"
#include "text/jinja/print.h"

namespace qnext::jinja {
namespace {

// What an item of a loop is after it went through the target: tuples are put together again.
Value ReadTarget(Runtime& rt, const Target& target, Activation& variables) {
  if (target.kind == Target::Kind::kName) return SlotOf(target.slot, variables);
  std::vector<Value> items;
  for (const Target& item : target.items) items.push_back(ReadTarget(rt, item, variables));
  return rt.Tuple(std::move(items));
}

// What a block's filter or call gives is written as it is, not turned into text first.
void AppendText(const Value& value, std::string_view what, TextBuilder* out) {
  if (!value.Is(Kind::kString)) Fail(fmt::format("the result of {} is no string, but '{}'", what, TypeName(value)));
  out->Append(value.Text());
}

}  // namespace

// The items of "for x in items if test".
class TestedItems : public IteratorObject {
 public:
  TestedItems(Interpreter* interpreter, const ForStatement& loop, const std::shared_ptr<Activation>& enclosing,
              const Value& iterated)
      : interpreter_(*interpreter), loop_(loop), iterated_(iterated) {
    depth = DepthAbove(iterated);
    variables_ = interpreter_.NewActivation(loop.test_slots, enclosing);
  }

  bool Next(Runtime& rt, Value* out) override {
    if (items_ == nullptr) {
      interpreter_.EnterScope(loop_.test_scope, *variables_);
      items_ = Iterate(rt, iterated_);
    }
    Value item;
    while (items_->Next(rt, &item)) {
      interpreter_.Assign(loop_.test_target, item, *variables_);
      if (!Truthy(interpreter_.Evaluate(*loop_.test, variables_))) continue;
      *out = ReadTarget(rt, loop_.test_target, *variables_);
      return true;
    }
    return false;
  }

 private:
  Interpreter& interpreter_;
  const ForStatement& loop_;
  const Value iterated_;
  std::shared_ptr<Activation> variables_;
  std::shared_ptr<IteratorObject> items_;
};

Value& SlotOf(const SlotRef& ref, Activation& variables) {
  Activation* function = &variables;
  for (int i = 0; i < ref.hops; ++i) function = function->outer.get();
  return function->slots[static_cast<size_t>(ref.slot)];
}

std::string Interpreter::Run() {
  const Variables variables = NewActivation(tree_.slots, nullptr);
  Retain(variables);
  TextBuilder out(rt_);
  EnterScope(tree_.scope, *variables);
  Execute(tree_.body, variables, &out);
  return out.Take();
}

Interpreter::Variables Interpreter::NewActivation(size_t slots, const Variables& outer) {
  rt_.Built(sizeof(Activation) + slots * sizeof(Value));
  return std::make_shared<Activation>(slots, outer);
}

void Interpreter::Retain(const Variables& variables) {
  if (!std::exchange(variables->retained, true)) rt_.Retain(variables);
}

void Interpreter::EnterScope(const ScopePlan& plan, Activation& variables) {
  for (const ScopePlan::Load& load : plan.enter) {
    Value& slot = variables.slots[static_cast<size_t>(load.slot)];
    switch (load.action) {
      case ScopePlan::Action::kFromContext:
        slot = context_[load.variable];
        break;
      case ScopePlan::Action::kCopy:
        slot = SlotOf(load.from, variables);
        break;
      case ScopePlan::Action::kMissing:
        slot = Value();
        break;
    }
  }
}

void Interpreter::LeaveScope(const ScopePlan& plan, Activation& variables) {
  for (const int slot : plan.leave) variables.slots[static_cast<size_t>(slot)] = Value();
}

Interpreter::Flow Interpreter::Execute(const Block& block, const Variables& variables, TextBuilder* out) {
  for (const auto& statement : block) {
    const Flow flow = ExecuteStatement(*statement, variables, out);
    if (flow != Flow::kNormal) return flow;
  }
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::ExecuteStatement(const Statement& statement, const Variables& variables,
                                                TextBuilder* out) {
  const DepthGuard guard(rt_);
  rt_.Step();
  rt_.line = statement.line;
  switch (statement.kind) {
    case StatementKind::kOutput:
      ExecuteOutput(static_cast<const OutputStatement&>(statement), variables, out);
      return Flow::kNormal;
    case StatementKind::kFor:
      return ExecuteFor(static_cast<const ForStatement&>(statement), variables, out);
    case StatementKind::kIf:
      return ExecuteIf(static_cast<const IfStatement&>(statement), variables, out);
    case StatementKind::kMacro:
      ExecuteMacro(static_cast<const MacroStatement&>(statement), variables);
      return Flow::kNormal;
    case StatementKind::kCallBlock:
      ExecuteCallBlock(static_cast<const CallBlockStatement&>(statement), variables, out);
      return Flow::kNormal;
    case StatementKind::kFilterBlock:
      return ExecuteFilterBlock(static_cast<const FilterBlockStatement&>(statement), variables, out);
    case StatementKind::kWith:
      return ExecuteWith(static_cast<const WithStatement&>(statement), variables, out);
    case StatementKind::kAssign:
      ExecuteAssign(static_cast<const AssignStatement&>(statement), variables);
      return Flow::kNormal;
    case StatementKind::kAssignBlock:
      return ExecuteAssignBlock(static_cast<const AssignBlockStatement&>(statement), variables);
    case StatementKind::kBreak:
      return Flow::kBreak;
    case StatementKind::kContinue:
      break;
  }
  return Flow::kContinue;
}

Interpreter::Flow Interpreter::ExecuteIf(const IfStatement& statement, const Variables& variables, TextBuilder* out) {
  for (const IfStatement::Branch& branch : statement.branches) {
    if (Truthy(Evaluate(*branch.test, variables))) return Execute(branch.body, variables, out);
  }
  return Execute(statement.otherwise, variables, out);
}

// A jump out of a block below leaves its scope as it is: the next entry sets every variable anew.
Interpreter::Flow Interpreter::ExecuteWith(const WithStatement& with, const Variables& variables, TextBuilder* out) {
  EnterScope(with.scope, *variables);
  for (const auto& [target, value] : with.variables) Assign(target, Evaluate(*value, variables), *variables);
  const Flow flow = Execute(with.body, variables, out);
  if (flow == Flow::kNormal) LeaveScope(with.scope, *variables);
  return flow;
}

Interpreter::Flow Interpreter::ExecuteFilterBlock(const FilterBlockStatement& block, const Variables& variables,
                                                  TextBuilder* out) {
  EnterScope(block.scope, *variables);
  TextBuilder buffer(rt_);
  const Flow flow = Execute(block.body, variables, &buffer);
  if (flow != Flow::kNormal) return flow;
  const Value text = Value::String(buffer.Take());
  const Value filtered = EvaluateFilter(static_cast<const FilterExpr&>(*block.filter), &text, variables);
  AppendText(filtered, "{% filter %}", out);
  LeaveScope(block.scope, *variables);
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::ExecuteAssignBlock(const AssignBlockStatement& assign, const Variables& variables) {
  EnterScope(assign.scope, *variables);
  TextBuilder buffer(rt_);
  const Flow flow = Execute(assign.body, variables, &buffer);
  if (flow != Flow::kNormal) return flow;
  Value value = Value::String(buffer.Take());
  if (assign.filter != nullptr) {
    value = EvaluateFilter(static_cast<const FilterExpr&>(*assign.filter), &value, variables);
  }
  CheckNamespaces(assign.target, *variables);
  Assign(assign.target, value, *variables);
  LeaveScope(assign.scope, *variables);
  return Flow::kNormal;
}

void Interpreter::ExecuteOutput(const OutputStatement& output, const Variables& variables, TextBuilder* out) {
  for (const ExprPtr& item : output.items) {
    if (item->kind == ExprKind::kConst) {
      AppendStr(static_cast<const ConstExpr&>(*item).value, out);
      continue;
    }
    const Value value = Evaluate(*item, variables);
    rt_.line = item->line;
    AppendStr(value, out);
  }
}

void Interpreter::ExecuteAssign(const AssignStatement& assign, const Variables& variables) {
  CheckNamespaces(assign.target, *variables);
  const Value value = Evaluate(*assign.value, variables);
  rt_.line = assign.line;
  Assign(assign.target, value, *variables);
}

void Interpreter::ExecuteMacro(const MacroStatement& macro, const Variables& variables) {
  Retain(variables);
  SlotOf(macro.slot, *variables) = Value(Kind::kMacro, std::make_shared<MacroObject>(&macro.macro, variables));
}

void Interpreter::ExecuteCallBlock(const CallBlockStatement& block, const Variables& variables, TextBuilder* out) {
  Retain(variables);
  const auto body = std::make_shared<MacroObject>(&block.macro, variables);
  if (block.call == nullptr) {
    AppendStr(CallMacro(*body, {}), out);
    return;
  }
  const Value caller(Kind::kMacro, body);
  AppendText(EvaluateCall(static_cast<const CallExpr&>(*block.call), &caller, variables), "{% call %}", out);
}

Interpreter::Flow Interpreter::ExecuteFor(const ForStatement& loop, const Variables& variables, TextBuilder* out) {
  const Value iterated = Evaluate(*loop.iterated, variables);
  rt_.line = loop.line;
  if (!loop.recursive) return RunLoop(loop, variables, variables, iterated, /*depth0=*/0, out);
  out->Append(RunRecursiveLoop(loop, variables, iterated, /*depth0=*/0));
  return Flow::kNormal;
}

std::string Interpreter::RunRecursiveLoop(const ForStatement& loop, const Variables& enclosing, const Value& iterated,
                                          int depth0) {
  Retain(enclosing);
  const Variables variables = NewActivation(loop.function_slots, enclosing);
  TextBuilder buffer(rt_);
  RunLoop(loop, variables, enclosing, iterated, depth0, &buffer);
  return buffer.Take();
}

// `variables` are those of the body, `enclosing` those around the statement; only a recursive loop tells them apart.
Interpreter::Flow Interpreter::RunLoop(const ForStatement& loop, const Variables& variables, const Variables& enclosing,
                                       const Value& iterated, int depth0, TextBuilder* out) {
  std::shared_ptr<IteratorObject> items;
  Int length = -1;
  if (loop.test != nullptr) {
    Retain(enclosing);  // the iterator holds them, and a loop variable may hold the iterator
    items = std::make_shared<TestedItems>(this, loop, enclosing, iterated);
  } else {
    items = Iterate(rt_, iterated);
    length = LengthOf(iterated);
  }
  std::shared_ptr<LoopObject> object;
  if (loop.loop_slot >= 0) {
    object = std::make_shared<LoopObject>(rt_, iterated, items, length);
    object->depth0 = depth0;
    if (loop.recursive) {
      object->recursive = &loop;
      object->closure = enclosing;
    }
    variables->slots[static_cast<size_t>(loop.loop_slot)] = Value();
  }
  // As in Jinja, `else` runs unless some turn reached the end of the body; `continue` does not get there.
  bool some_turn_ended = false;
  Value item;
  while (object != nullptr ? object->Advance(rt_, &item) : items->Next(rt_, &item)) {
    Assign(loop.target, item, *variables);
    if (object != nullptr) variables->slots[static_cast<size_t>(loop.loop_slot)] = Value(Kind::kLoop, object);
    EnterScope(loop.body_scope, *variables);
    const Flow flow = Execute(loop.body, variables, out);
    if (flow == Flow::kBreak) break;
    if (flow == Flow::kNormal) some_turn_ended = true;
  }
  LeaveScope(loop.body_scope, *variables);
  if (some_turn_ended || loop.otherwise.empty()) return Flow::kNormal;
  EnterScope(loop.else_scope, *variables);
  const Flow flow = Execute(loop.otherwise, variables, out);
  if (flow == Flow::kNormal) LeaveScope(loop.else_scope, *variables);
  return flow;
}

void Interpreter::CheckNamespaces(const Target& target, Activation& variables) {
  if (target.kind == Target::Kind::kNamespaceAttribute && !SlotOf(target.slot, variables).Is(Kind::kNamespace)) {
    Fail("cannot assign attribute on non-namespace object");
  }
  for (const Target& item : target.items) CheckNamespaces(item, variables);
}

void Interpreter::Assign(const Target& target, const Value& value, Activation& variables) {
  switch (target.kind) {
    case Target::Kind::kName:
      SlotOf(target.slot, variables) = value;
      return;
    case Target::Kind::kNamespaceAttribute:
      SlotOf(target.slot, variables).As<NamespaceObject>().attributes.Set(rt_.String(target.attribute), value);
      return;
    case Target::Kind::kTuple:
      break;
  }
  const std::shared_ptr<IteratorObject> items = Iterate(rt_, value);
  Value item;
  for (size_t i = 0; i < target.items.size(); ++i) {
    if (!items->Next(rt_, &item)) {
      Fail(fmt::format("not enough values to unpack (expected {}, got {})", target.items.size(), i));
    }
    Assign(target.items[i], item, variables);
  }
  if (items->Next(rt_, &item)) {
    Fail(fmt::format("too many values to unpack (expected {})", target.items.size()));
  }
}

}  // namespace qnext::jinja
