#include "text/jinja/symbols.h"

#include "base/check.h"

namespace qnext::jinja {

const Variable* Symbols::FindHere(const std::string& name) const {
  for (const Symbols* part = this; part != nullptr; part = part->whole_) {
    const auto found = part->variables_.find(name);
    if (found != part->variables_.end()) return &found->second;
  }
  return nullptr;
}

bool Symbols::StoresHere(const std::string& name) const {
  for (const Symbols* part = this; part != nullptr; part = part->whole_) {
    if (part->stores_.contains(name)) return true;
  }
  return false;
}

std::optional<Variable> Symbols::Find(const std::string& name) const {
  for (const Symbols* scope = this; scope != nullptr; scope = scope->parent_) {
    if (const Variable* found = scope->FindHere(name); found != nullptr) return *found;
  }
  return std::nullopt;
}

int Symbols::Define(const std::string& name, Start start) {
  const int slot = function_->SlotOf(level_, name);
  variables_[name] = {function_, slot};
  starts_[slot] = std::move(start);
  return slot;
}

void Symbols::Store(const std::string& name) {
  stores_.insert(name);
  if (FindHere(name) != nullptr) return;
  if (parent_ != nullptr) {
    if (const std::optional<Variable> outer = parent_->Find(name); outer.has_value()) {
      Define(name, {Origin::kOuter, "", *outer});
      return;
    }
  }
  Define(name, {Origin::kUndefined, "", {}});
}

void Symbols::Load(const std::string& name) {
  if (!Find(name).has_value()) Define(name, {Origin::kContext, name, {}});
}

int Symbols::DeclareParameter(const std::string& name) {
  stores_.insert(name);
  return Define(name, {Origin::kParameter, "", {}});
}

void Symbols::MergeBranches(const std::vector<Symbols>& branches) {
  std::set<std::string> stored;
  for (const Symbols& branch : branches) {
    for (const std::string& name : branch.stores_) {
      if (!StoresHere(name)) stored.insert(name);
    }
  }
  for (const Symbols& branch : branches) {
    for (const auto& [name, variable] : branch.variables_) variables_[name] = variable;
    for (const auto& [slot, start] : branch.starts_) starts_[slot] = start;
    stores_.insert(branch.stores_.begin(), branch.stores_.end());
  }
  // A name that some branch assigns may be read after a branch that does not: it begins with its outer value.
  for (const std::string& name : stored) {
    const Variable* own = FindHere(name);
    QNEXT_CHECK(own != nullptr, "a stored name has a variable");
    const std::optional<Variable> outer = parent_ == nullptr ? std::nullopt : parent_->Find(name);
    starts_[own->slot] = outer.has_value() ? Start{Origin::kOuter, "", *outer} : Start{Origin::kContext, name, {}};
  }
}

}  // namespace qnext::jinja
