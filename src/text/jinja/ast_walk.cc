#include "text/jinja/ast_walk.h"

namespace qnext::jinja {
namespace {

void VisitArguments(CallArguments& arguments, FunctionRef<void(Expr&)> visit) {
  for (ExprPtr& argument : arguments.positional) visit(*argument);
  for (auto& [name, argument] : arguments.named) visit(*argument);
  if (arguments.more_positional != nullptr) visit(*arguments.more_positional);
  if (arguments.more_named != nullptr) visit(*arguments.more_named);
}

void WalkMacro(MacroBody& macro, TreeVisitor* visitor) {
  for (const std::string& parameter : macro.parameters) visitor->OnParameter(parameter);
  for (ExprPtr& value : macro.defaults) WalkExpr(*value, visitor);
  WalkBlock(macro.body, visitor);
}

void WalkFor(ForStatement& loop, TreeVisitor* visitor) {
  WalkTarget(loop.target, visitor);
  WalkExpr(*loop.iterated, visitor);
  WalkBlock(loop.body, visitor);
  WalkBlock(loop.otherwise, visitor);
  if (loop.test != nullptr) WalkExpr(*loop.test, visitor);
}

void WalkIf(IfStatement& statement, TreeVisitor* visitor) {
  for (IfStatement::Branch& branch : statement.branches) {
    WalkExpr(*branch.test, visitor);
    WalkBlock(branch.body, visitor);
  }
  WalkBlock(statement.otherwise, visitor);
}

void WalkWith(WithStatement& with, TreeVisitor* visitor) {
  for (auto& [target, value] : with.variables) {
    if (target.kind == Target::Kind::kName) {
      visitor->OnParameter(target.name);
    } else {
      WalkTarget(target, visitor);
    }
  }
  for (auto& [target, value] : with.variables) WalkExpr(*value, visitor);
  WalkBlock(with.body, visitor);
}

void WalkStatement(Statement& statement, TreeVisitor* visitor) {
  switch (statement.kind) {
    case StatementKind::kOutput:
      for (ExprPtr& item : static_cast<OutputStatement&>(statement).items) WalkExpr(*item, visitor);
      return;
    case StatementKind::kFor:
      WalkFor(static_cast<ForStatement&>(statement), visitor);
      return;
    case StatementKind::kIf:
      WalkIf(static_cast<IfStatement&>(statement), visitor);
      return;
    case StatementKind::kMacro: {
      auto& macro = static_cast<MacroStatement&>(statement);
      visitor->OnMacro(macro);
      WalkMacro(macro.macro, visitor);
      return;
    }
    case StatementKind::kCallBlock: {
      auto& block = static_cast<CallBlockStatement&>(statement);
      if (block.call != nullptr) WalkExpr(*block.call, visitor);
      WalkMacro(block.macro, visitor);
      return;
    }
    case StatementKind::kFilterBlock: {
      auto& block = static_cast<FilterBlockStatement&>(statement);
      WalkBlock(block.body, visitor);
      WalkExpr(*block.filter, visitor);
      return;
    }
    case StatementKind::kWith:
      WalkWith(static_cast<WithStatement&>(statement), visitor);
      return;
    case StatementKind::kAssign: {
      auto& assign = static_cast<AssignStatement&>(statement);
      WalkTarget(assign.target, visitor);
      WalkExpr(*assign.value, visitor);
      return;
    }
    case StatementKind::kAssignBlock: {
      auto& assign = static_cast<AssignBlockStatement&>(statement);
      WalkTarget(assign.target, visitor);
      if (assign.filter != nullptr) WalkExpr(*assign.filter, visitor);
      WalkBlock(assign.body, visitor);
      return;
    }
    case StatementKind::kBreak:
    case StatementKind::kContinue:
      return;
  }
}

}  // namespace

void ForEachOperand(Expr& expr, FunctionRef<void(Expr&)> visit) {
  switch (expr.kind) {
    case ExprKind::kConst:
    case ExprKind::kName:
    case ExprKind::kNamespaceRef:
      return;
    case ExprKind::kList:
    case ExprKind::kTuple:
    case ExprKind::kConcat:
      for (ExprPtr& item : static_cast<SequenceExpr&>(expr).items) visit(*item);
      return;
    case ExprKind::kDict:
      for (auto& [key, value] : static_cast<DictExpr&>(expr).items) {
        visit(*key);
        visit(*value);
      }
      return;
    case ExprKind::kUnary:
      visit(*static_cast<UnaryExpr&>(expr).operand);
      return;
    case ExprKind::kBinary:
      visit(*static_cast<BinaryExpr&>(expr).left);
      visit(*static_cast<BinaryExpr&>(expr).right);
      return;
    case ExprKind::kLogic:
      visit(*static_cast<LogicExpr&>(expr).left);
      visit(*static_cast<LogicExpr&>(expr).right);
      return;
    case ExprKind::kCompare:
      visit(*static_cast<CompareExpr&>(expr).first);
      for (auto& [op, operand] : static_cast<CompareExpr&>(expr).rest) visit(*operand);
      return;
    case ExprKind::kConditional: {
      auto& conditional = static_cast<ConditionalExpr&>(expr);
      visit(*conditional.test);
      visit(*conditional.if_true);
      if (conditional.if_false != nullptr) visit(*conditional.if_false);
      return;
    }
    case ExprKind::kAttribute:
      visit(*static_cast<AttributeExpr&>(expr).object);
      return;
    case ExprKind::kItem:
      visit(*static_cast<ItemExpr&>(expr).object);
      visit(*static_cast<ItemExpr&>(expr).index);
      return;
    case ExprKind::kSlice: {
      auto& slice = static_cast<SliceExpr&>(expr);
      for (ExprPtr* part : {&slice.object, &slice.start, &slice.stop, &slice.step}) {
        if (*part != nullptr) visit(**part);
      }
      return;
    }
    case ExprKind::kCall:
      visit(*static_cast<CallExpr&>(expr).callee);
      VisitArguments(static_cast<CallExpr&>(expr).arguments, visit);
      return;
    case ExprKind::kFilter: {
      auto& filter = static_cast<FilterExpr&>(expr);
      if (filter.input != nullptr) visit(*filter.input);
      VisitArguments(filter.arguments, visit);
      return;
    }
    case ExprKind::kTest:
      visit(*static_cast<TestExpr&>(expr).input);
      VisitArguments(static_cast<TestExpr&>(expr).arguments, visit);
      return;
  }
}

void WalkExpr(Expr& expr, TreeVisitor* visitor) {
  if (visitor->Done()) return;
  visitor->OnExpr(expr);
  ForEachOperand(expr, [visitor](Expr& operand) { WalkExpr(operand, visitor); });
}

void WalkTarget(Target& target, TreeVisitor* visitor) {
  switch (target.kind) {
    case Target::Kind::kName:
      visitor->OnTargetName(target);
      return;
    case Target::Kind::kNamespaceAttribute:
      visitor->OnTargetAttribute(target);
      return;
    case Target::Kind::kTuple:
      for (Target& item : target.items) WalkTarget(item, visitor);
      return;
  }
}

void WalkBlock(Block& block, TreeVisitor* visitor) {
  for (const auto& statement : block) {
    if (visitor->Done()) return;
    WalkStatement(*statement, visitor);
  }
}

}  // namespace qnext::jinja
