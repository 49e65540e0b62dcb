#include "text/jinja/scope.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "base/check.h"
#include "text/jinja/ast_walk.h"
#include "text/jinja/error.h"
#include "text/jinja/symbols.h"

namespace qnext::jinja {
namespace {

// Which of `names` are read in a body before anything in it, nested functions included, gives them a meaning.
class UndeclaredNames : public TreeVisitor {
 public:
  explicit UndeclaredNames(std::initializer_list<std::string> names) : names_(names) {}

  bool Has(const std::string& name) const { return found_.contains(name); }

  void OnExpr(Expr& expr) override {
    if (expr.kind != ExprKind::kName || Done()) return;
    const std::string& name = static_cast<NameExpr&>(expr).name;
    if (names_.contains(name)) found_.insert(name);
  }
  void OnTargetName(Target& target) override { Forget(target.name); }
  void OnParameter(const std::string& name) override { Forget(name); }
  bool Done() const override { return found_ == names_; }

 private:
  void Forget(const std::string& name) {
    if (!Done()) names_.erase(name);
  }

  std::set<std::string> names_;
  std::set<std::string> found_;
};

// Inside a loop nothing may assign to `loop`.
class LoopAssignments : public TreeVisitor {
 public:
  void OnTargetName(Target& target) override {
    if (target.name == "loop") FailSyntax(target.line, "Can't assign to special loop variable in for-loop target");
  }
};

// First half: which names a scope reads and assigns. It stops where a scope of its own begins.
void CollectExpr(Symbols* symbols, Expr& expr) {
  if (expr.kind == ExprKind::kName) symbols->Load(static_cast<NameExpr&>(expr).name);
  ForEachOperand(expr, [symbols](Expr& operand) { CollectExpr(symbols, operand); });
}

void CollectTarget(Symbols* symbols, const Target& target, bool as_parameter) {
  switch (target.kind) {
    case Target::Kind::kName:
      if (as_parameter) {
        symbols->DeclareParameter(target.name);
      } else {
        symbols->Store(target.name);
      }
      return;
    case Target::Kind::kNamespaceAttribute:
      symbols->Load(target.name);
      return;
    case Target::Kind::kTuple:
      for (const Target& item : target.items) CollectTarget(symbols, item, as_parameter);
      return;
  }
}

void CollectBlock(Symbols* symbols, const Block& block);

// `first` is the branch to begin with: an elif is an `if` within the one before it.
void CollectIf(Symbols* symbols, IfStatement& statement) {
  CollectExpr(symbols, *statement.branches[0].test);
  std::vector<Symbols> branches(3, Symbols::Branch(symbols));
  CollectBlock(&branches[0], statement.branches[0].body);
  for (size_t i = 1; i < statement.branches.size(); ++i) {
    IfStatement::Branch& branch = statement.branches[i];
    CollectExpr(&branches[1], *branch.test);
    std::vector<Symbols> inner(1, Symbols::Branch(&branches[1]));
    CollectBlock(&inner[0], branch.body);
    branches[1].MergeBranches(inner);
  }
  CollectBlock(&branches[2], statement.otherwise);
  symbols->MergeBranches(branches);
}

void CollectStatement(Symbols* symbols, Statement& statement) {
  switch (statement.kind) {
    case StatementKind::kOutput:
      for (ExprPtr& item : static_cast<OutputStatement&>(statement).items) CollectExpr(symbols, *item);
      return;
    case StatementKind::kFor:
      CollectExpr(symbols, *static_cast<ForStatement&>(statement).iterated);
      return;
    case StatementKind::kIf:
      CollectIf(symbols, static_cast<IfStatement&>(statement));
      return;
    case StatementKind::kMacro:
      symbols->Store(static_cast<MacroStatement&>(statement).macro.name);
      return;
    case StatementKind::kCallBlock:
      if (ExprPtr& call = static_cast<CallBlockStatement&>(statement).call; call != nullptr) {
        CollectExpr(symbols, *call);
      }
      return;
    case StatementKind::kFilterBlock:
      CollectExpr(symbols, *static_cast<FilterBlockStatement&>(statement).filter);
      return;
    case StatementKind::kWith:
      for (auto& [target, value] : static_cast<WithStatement&>(statement).variables) CollectExpr(symbols, *value);
      return;
    case StatementKind::kAssign: {
      auto& assign = static_cast<AssignStatement&>(statement);
      CollectExpr(symbols, *assign.value);
      CollectTarget(symbols, assign.target, /*as_parameter=*/false);
      return;
    }
    case StatementKind::kAssignBlock:
      CollectTarget(symbols, static_cast<AssignBlockStatement&>(statement).target, /*as_parameter=*/false);
      return;
    case StatementKind::kBreak:
    case StatementKind::kContinue:
      return;
  }
}

void CollectBlock(Symbols* symbols, const Block& block) {
  for (const auto& statement : block) CollectStatement(symbols, *statement);
}

// Second half: every name to its slot, scope by scope.
class Resolver {
 public:
  TemplateTree Run(Block body) {
    TemplateTree tree;
    tree.body = std::move(body);
    FunctionSlots function(0);
    Symbols root(nullptr, &function);
    CollectBlock(&root, tree.body);
    ResolveBlock(root, tree.body);
    tree.scope = Plan(root);
    tree.slots = function.size();
    tree.variables = std::move(variables_);
    return tree;
  }

 private:
  ScopePlan Plan(const Symbols& symbols) {
    return symbols.Plan([this](const std::string& name) {
      const auto [it, added] = variable_index_.try_emplace(name, variables_.size());
      if (added) variables_.push_back(name);
      return it->second;
    });
  }

  static SlotRef Ref(const Symbols& symbols, const std::string& name) {
    const std::optional<Variable> found = symbols.Find(name);
    QNEXT_CHECK(found.has_value(), "every name was collected");
    return {symbols.function()->depth - found->function->depth, found->slot};
  }

  void ResolveExpr(const Symbols& symbols, Expr& expr) {
    if (expr.kind == ExprKind::kName) {
      auto& name = static_cast<NameExpr&>(expr);
      name.slot = Ref(symbols, name.name);
    }
    ForEachOperand(expr, [&](Expr& operand) { ResolveExpr(symbols, operand); });
  }

  void ResolveTarget(const Symbols& symbols, Target& target) {
    if (target.kind != Target::Kind::kTuple) target.slot = Ref(symbols, target.name);
    for (Target& item : target.items) ResolveTarget(symbols, item);
  }

  void ResolveBlock(const Symbols& symbols, Block& block) {
    for (const auto& statement : block) ResolveStatement(symbols, *statement);
  }

  void ResolveStatement(const Symbols& symbols, Statement& statement) {
    switch (statement.kind) {
      case StatementKind::kOutput:
        for (ExprPtr& item : static_cast<OutputStatement&>(statement).items) ResolveExpr(symbols, *item);
        return;
      case StatementKind::kFor:
        ResolveFor(symbols, static_cast<ForStatement&>(statement));
        return;
      case StatementKind::kIf: {
        auto& branches = static_cast<IfStatement&>(statement);
        for (IfStatement::Branch& branch : branches.branches) {
          ResolveExpr(symbols, *branch.test);
          ResolveBlock(symbols, branch.body);
        }
        ResolveBlock(symbols, branches.otherwise);
        return;
      }
      case StatementKind::kMacro: {
        auto& macro = static_cast<MacroStatement&>(statement);
        ResolveMacro(symbols, &macro.macro);
        macro.slot = Ref(symbols, macro.macro.name);
        return;
      }
      case StatementKind::kCallBlock: {
        auto& block = static_cast<CallBlockStatement&>(statement);
        ResolveMacro(symbols, &block.macro);
        if (block.call != nullptr) ResolveExpr(symbols, *block.call);
        return;
      }
      case StatementKind::kFilterBlock: {
        auto& block = static_cast<FilterBlockStatement&>(statement);
        Symbols inner(&symbols, symbols.function());
        CollectBlock(&inner, block.body);
        CollectExpr(&inner, *block.filter);
        ResolveBlock(inner, block.body);
        ResolveExpr(inner, *block.filter);
        block.scope = Plan(inner);
        return;
      }
      case StatementKind::kWith:
        ResolveWith(symbols, static_cast<WithStatement&>(statement));
        return;
      case StatementKind::kAssign: {
        auto& assign = static_cast<AssignStatement&>(statement);
        ResolveExpr(symbols, *assign.value);
        ResolveTarget(symbols, assign.target);
        return;
      }
      case StatementKind::kAssignBlock:
        ResolveAssignBlock(symbols, static_cast<AssignBlockStatement&>(statement));
        return;
      case StatementKind::kBreak:
      case StatementKind::kContinue:
        return;
    }
  }

  void ResolveWith(const Symbols& symbols, WithStatement& with) {
    Symbols inner(&symbols, symbols.function());
    for (auto& [target, value] : with.variables) CollectTarget(&inner, target, /*as_parameter=*/true);
    CollectBlock(&inner, with.body);
    for (auto& [target, value] : with.variables) {
      ResolveExpr(symbols, *value);  // the values see the scope around
      ResolveTarget(inner, target);
    }
    ResolveBlock(inner, with.body);
    with.scope = Plan(inner);
  }

  void ResolveAssignBlock(const Symbols& symbols, AssignBlockStatement& assign) {
    Symbols inner(&symbols, symbols.function());
    CollectBlock(&inner, assign.body);
    if (assign.filter != nullptr) CollectExpr(&inner, *assign.filter);
    ResolveBlock(inner, assign.body);
    if (assign.filter != nullptr) ResolveExpr(inner, *assign.filter);
    ResolveTarget(symbols, assign.target);
    assign.scope = Plan(inner);
  }

  void ResolveMacro(const Symbols& symbols, MacroBody* macro) {
    FunctionSlots function(symbols.function()->depth + 1);
    Symbols inner(&symbols, &function);
    for (const std::string& parameter : macro->parameters) inner.DeclareParameter(parameter);
    for (ExprPtr& value : macro->defaults) CollectExpr(&inner, *value);
    CollectBlock(&inner, macro->body);

    const auto is_parameter = [macro](std::string_view name) {
      return std::find(macro->parameters.begin(), macro->parameters.end(), name) != macro->parameters.end();
    };
    UndeclaredNames special({"caller", "kwargs", "varargs"});
    WalkBlock(macro->body, &special);
    macro->explicit_caller = is_parameter("caller");
    if (special.Has("caller")) {
      if (!macro->explicit_caller) {
        macro->caller_slot = inner.DeclareParameter("caller");
      } else {
        const size_t at = static_cast<size_t>(std::find(macro->parameters.begin(), macro->parameters.end(), "caller") -
                                              macro->parameters.begin());
        if (at + macro->defaults.size() < macro->parameters.size()) {
          FailSyntax(macro->line,
                     "When defining macros or call blocks the special \"caller\" argument must be omitted or be given "
                     "a default.");
        }
      }
    }
    if (special.Has("kwargs") && !is_parameter("kwargs")) macro->kwargs_slot = inner.DeclareParameter("kwargs");
    if (special.Has("varargs") && !is_parameter("varargs")) macro->varargs_slot = inner.DeclareParameter("varargs");

    for (const std::string& parameter : macro->parameters) {
      macro->parameter_slots.push_back(inner.DeclareParameter(parameter));
    }
    for (ExprPtr& value : macro->defaults) ResolveExpr(inner, *value);
    ResolveBlock(inner, macro->body);
    macro->scope = Plan(inner);
    macro->slots = function.size();
  }

  void ResolveFor(const Symbols& symbols, ForStatement& loop) {
    LoopAssignments assignments;
    WalkTarget(loop.target, &assignments);
    WalkBlock(loop.body, &assignments);
    WalkBlock(loop.otherwise, &assignments);

    // A recursive loop is a function that calls itself.
    FunctionSlots own_function(symbols.function()->depth + 1);
    FunctionSlots* function = loop.recursive ? &own_function : symbols.function();
    Symbols body(&symbols, function);
    UndeclaredNames uses_loop({"loop"});
    WalkBlock(loop.body, &uses_loop);
    if (loop.recursive || uses_loop.Has("loop")) loop.loop_slot = body.DeclareParameter("loop");
    CollectTarget(&body, loop.target, /*as_parameter=*/true);
    CollectBlock(&body, loop.body);

    ResolveExpr(symbols, *loop.iterated);
    if (loop.test != nullptr) ResolveLoopTest(symbols, loop);
    ResolveTarget(body, loop.target);
    ResolveBlock(body, loop.body);
    loop.body_scope = Plan(body);

    Symbols otherwise(&symbols, function);
    CollectBlock(&otherwise, loop.otherwise);
    ResolveBlock(otherwise, loop.otherwise);
    loop.else_scope = Plan(otherwise);
    loop.function_slots = own_function.size();
  }

  void ResolveLoopTest(const Symbols& symbols, ForStatement& loop) {
    FunctionSlots function(symbols.function()->depth + 1);
    Symbols inner(&symbols, &function);
    CollectTarget(&inner, loop.target, /*as_parameter=*/true);
    CollectExpr(&inner, *loop.test);
    loop.test_target = loop.target;
    ResolveTarget(inner, loop.test_target);
    ResolveExpr(inner, *loop.test);
    loop.test_scope = Plan(inner);
    loop.test_slots = function.size();
  }

  std::vector<std::string> variables_;
  std::unordered_map<std::string, size_t> variable_index_;
};

}  // namespace

TemplateTree ResolveNames(Block body) { return Resolver().Run(std::move(body)); }

}  // namespace qnext::jinja
