// Visiting a tree's expressions, for the passes that run at compile time.
#pragma once

#include "base/function_ref.h"
#include "text/jinja/ast.h"

namespace qnext::jinja {

// Calls `visit` for each operand of `expr`, one level down, in source order.
void ForEachOperand(Expr& expr, FunctionRef<void(Expr&)> visit);

// Called for everything below a statement, in the order of Jinja's own nodes. Any callback may be left to do nothing.
struct TreeVisitor {
  virtual ~TreeVisitor() = default;
  virtual void OnExpr(Expr&) {}                    // every expression, operands after their parent
  virtual void OnTargetName(Target&) {}            // an assigned name ("x" of "set x = 1"), not "ns.x"
  virtual void OnTargetAttribute(Target&) {}       // "ns.x"
  virtual void OnParameter(const std::string&) {}  // of a macro, a call block or {% with %}
  virtual void OnMacro(MacroStatement&) {}
  // Whether to go on with the rest of the tree.
  virtual bool Done() const { return false; }
};

void WalkExpr(Expr& expr, TreeVisitor* visitor);
void WalkTarget(Target& target, TreeVisitor* visitor);
void WalkBlock(Block& block, TreeVisitor* visitor);

}  // namespace qnext::jinja
