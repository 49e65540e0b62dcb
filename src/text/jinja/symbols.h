// The names of one scope while a template is compiled (scope.cc).
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja/ast.h"

namespace qnext::jinja {

// A function of the compiled template: its slots, shared by all scopes in it that are equally deep and use the same
// name (such scopes never overlap).
class FunctionSlots {
 public:
  explicit FunctionSlots(int function_depth) : depth(function_depth) {}
  int SlotOf(int level, const std::string& name) {
    return slots_.try_emplace({level, name}, static_cast<int>(slots_.size())).first->second;
  }
  size_t size() const { return slots_.size(); }

  const int depth;  // of nested functions; the template is 0

 private:
  std::map<std::pair<int, std::string>, int> slots_;
};

// A variable as the compiler names it.
struct Variable {
  const FunctionSlots* function = nullptr;
  int slot = -1;
};

class Symbols {
 public:
  // `parent` (may be null) and `function` must outlive it.
  Symbols(const Symbols* parent, FunctionSlots* function)
      : parent_(parent), function_(function), level_(parent == nullptr ? 0 : parent->level_ + 1) {}

  // A branch of an `if`: what `whole` has, and what the branch adds, which MergeBranches then adds to `whole`. `whole`
  // must outlive it and stay as it is meanwhile.
  static Symbols Branch(const Symbols* whole) {
    Symbols branch(whole->parent_, whole->function_);
    branch.whole_ = whole;
    branch.level_ = whole->level_;
    return branch;
  }

  FunctionSlots* function() const { return function_; }
  std::optional<Variable> Find(const std::string& name) const;

  void Store(const std::string& name);            // "set x"
  void Load(const std::string& name);             // x is read
  int DeclareParameter(const std::string& name);  // loop targets, macro parameters: set before the scope begins
  void MergeBranches(const std::vector<Symbols>& branches);

  // `variable_index` numbers the names that come from the context.
  template <typename VariableIndex>
  ScopePlan Plan(VariableIndex variable_index) const;

 private:
  enum class Origin : uint8_t { kParameter, kContext, kOuter, kUndefined };
  struct Start {
    Origin origin;
    std::string name;  // kContext
    Variable outer;    // kOuter
  };

  int Define(const std::string& name, Start start);
  // In this scope, not in those around it.
  const Variable* FindHere(const std::string& name) const;
  bool StoresHere(const std::string& name) const;

  const Symbols* parent_;
  const Symbols* whole_ = nullptr;  // of a branch
  FunctionSlots* function_;
  int level_;
  std::map<std::string, Variable> variables_;
  std::map<int, Start> starts_;  // by slot
  std::set<std::string> stores_;
};

template <typename VariableIndex>
ScopePlan Symbols::Plan(VariableIndex variable_index) const {
  ScopePlan plan;
  for (const auto& [slot, start] : starts_) {
    plan.leave.push_back(slot);
    switch (start.origin) {
      case Origin::kParameter:
        break;
      case Origin::kContext:
        plan.enter.push_back({slot, ScopePlan::Action::kFromContext, variable_index(start.name), {}});
        break;
      case Origin::kOuter:
        plan.enter.push_back(
            {slot, ScopePlan::Action::kCopy, 0, {function_->depth - start.outer.function->depth, start.outer.slot}});
        break;
      case Origin::kUndefined:
        plan.enter.push_back({slot, ScopePlan::Action::kMissing, 0, {}});
        break;
    }
  }
  return plan;
}

}  // namespace qnext::jinja
