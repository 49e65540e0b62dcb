// Walks a template's tree and writes its text.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja/ast.h"
#include "text/jinja/objects.h"
#include "text/jinja/runtime.h"
#include "text/jinja/value.h"

namespace qnext::jinja {

// One rendering. `tree` and `runtime` must outlive it.
class Interpreter {
 public:
  // `context` has the value of each of tree.variables (missing where nothing has that name).
  Interpreter(const TemplateTree& tree, Runtime& runtime, std::vector<Value> context)
      : tree_(tree), rt_(runtime), context_(std::move(context)) {}

  // Throws TemplateError.
  std::string Run();

 private:
  using Variables = std::shared_ptr<Activation>;
  enum class Flow : uint8_t { kNormal, kBreak, kContinue };
  friend class TestedItems;

  // interpreter.cc: statements
  Variables NewActivation(size_t slots, const Variables& outer);
  void Retain(const Variables& variables);
  void EnterScope(const ScopePlan& plan, Activation& variables);
  static void LeaveScope(const ScopePlan& plan, Activation& variables);
  Flow Execute(const Block& block, const Variables& variables, TextBuilder* out);
  Flow ExecuteStatement(const Statement& statement, const Variables& variables, TextBuilder* out);
  Flow ExecuteIf(const IfStatement& statement, const Variables& variables, TextBuilder* out);
  Flow ExecuteWith(const WithStatement& with, const Variables& variables, TextBuilder* out);
  Flow ExecuteFilterBlock(const FilterBlockStatement& block, const Variables& variables, TextBuilder* out);
  Flow ExecuteAssignBlock(const AssignBlockStatement& assign, const Variables& variables);
  void ExecuteOutput(const OutputStatement& output, const Variables& variables, TextBuilder* out);
  void ExecuteAssign(const AssignStatement& assign, const Variables& variables);
  void ExecuteMacro(const MacroStatement& macro, const Variables& variables);
  void ExecuteCallBlock(const CallBlockStatement& block, const Variables& variables, TextBuilder* out);
  Flow ExecuteFor(const ForStatement& loop, const Variables& variables, TextBuilder* out);
  Flow RunLoop(const ForStatement& loop, const Variables& variables, const Variables& enclosing, const Value& iterated,
               int depth0, TextBuilder* out);
  std::string RunRecursiveLoop(const ForStatement& loop, const Variables& enclosing, const Value& iterated, int depth0);
  void CheckNamespaces(const Target& target, Activation& variables);
  void Assign(const Target& target, const Value& value, Activation& variables);

  // evaluator.cc: expressions
  Value Evaluate(const Expr& expr, const Variables& variables);
  Value EvaluateName(const NameExpr& name, Activation& variables);
  Value EvaluateSequence(const SequenceExpr& sequence, const Variables& variables);
  Value EvaluateConcat(const SequenceExpr& concat, const Variables& variables);
  Value EvaluateDict(const DictExpr& dict, const Variables& variables);
  Value EvaluateBinary(const BinaryExpr& binary, const Variables& variables);
  Value EvaluateLogic(const LogicExpr& logic, const Variables& variables);
  Value EvaluateCompare(const CompareExpr& compare, const Variables& variables);
  Value EvaluateConditional(const ConditionalExpr& conditional, const Variables& variables);
  Value EvaluateAttribute(const AttributeExpr& attribute, const Variables& variables);
  Value EvaluateItem(const ItemExpr& item, const Variables& variables);
  Value EvaluateSlice(const SliceExpr& slice, const Variables& variables);
  Value EvaluateTest(const TestExpr& test, const Variables& variables);
  // `input` is null but for the block forms, whose expression has none of its own.
  Value EvaluateFilter(const FilterExpr& filter, const Value* input, const Variables& variables);
  // `caller` is null but for {% call %}.
  Value EvaluateCall(const CallExpr& call, const Value* caller, const Variables& variables);
  void EvaluateArguments(const CallArguments& expressions, const Variables& variables, Arguments* arguments);
  Value Call(const Value& callee, const Arguments& arguments);
  Value CallMacro(const MacroObject& macro, const Arguments& arguments);
  void BindParameters(const MacroBody& macro, const Arguments& arguments, Activation& variables);

  const TemplateTree& tree_;
  Runtime& rt_;
  const std::vector<Value> context_;
};

// The variable a name stands for.
Value& SlotOf(const SlotRef& ref, Activation& variables);

}  // namespace qnext::jinja
