#include "text/jinja/names_check.h"

#include <fmt/format.h>

#include <set>
#include <string>

#include "text/jinja/ast_walk.h"
#include "text/jinja/error.h"
#include "text/jinja/functions.h"

namespace qnext::jinja {
namespace {

// Names that the template itself gives a meaning.
class Meanings : public TreeVisitor {
 public:
  // Special in loops and macros.
  std::set<std::string> variables = {"loop", "caller", "kwargs", "varargs"};
  std::set<std::string> attributes;
  std::set<std::string> asked;  // "x is defined" and its like

  void OnExpr(Expr& expr) override {
    if (expr.kind == ExprKind::kTest) {
      auto& test = static_cast<TestExpr&>(expr);
      const std::string_view name = test.test.name;
      if (test.input->kind == ExprKind::kName && (name == "defined" || name == "undefined" || name == "callable")) {
        asked.insert(static_cast<NameExpr&>(*test.input).name);
      }
    } else if (expr.kind == ExprKind::kDict) {
      for (const auto& [key, value] : static_cast<DictExpr&>(expr).items) {
        if (key->kind != ExprKind::kConst) continue;
        const Value& constant = static_cast<ConstExpr&>(*key).value;
        if (constant.Is(Kind::kString)) attributes.emplace(constant.Text());
      }
    } else if (expr.kind == ExprKind::kCall) {
      // namespace(render=...), dict(render=...)
      for (const auto& [name, value] : static_cast<CallExpr&>(expr).arguments.named) attributes.insert(name);
    }
  }
  void OnTargetName(Target& target) override { variables.insert(target.name); }
  void OnTargetAttribute(Target& target) override { attributes.insert(target.attribute); }
  void OnParameter(const std::string& name) override { variables.insert(name); }
  void OnMacro(MacroStatement& macro) override { variables.insert(macro.macro.name); }
};

class Checker : public TreeVisitor {
 public:
  explicit Checker(const Meanings& meanings) : known_(meanings) {}

  void OnExpr(Expr& expr) override {
    switch (expr.kind) {
      case ExprKind::kName:
        CheckName(static_cast<NameExpr&>(expr));
        return;
      case ExprKind::kCall:
        CheckCall(static_cast<CallExpr&>(expr));
        return;
      case ExprKind::kFilter:
        CheckFilter(static_cast<FilterExpr&>(expr));
        return;
      default:
        return;
    }
  }

 private:
  void CheckName(const NameExpr& name) {
    if (known_.variables.contains(name.name)) return;
    if (name.name == "lipsum" || name.name == "self") FailUnsupported(name.line, fmt::format("name '{}'", name.name));
  }

  void CheckCall(const CallExpr& call) {
    if (call.callee->kind == ExprKind::kName) {
      const std::string& name = static_cast<const NameExpr&>(*call.callee).name;
      if (FindGlobal(name) == nullptr && !known_.variables.contains(name) && !known_.asked.contains(name)) {
        FailUnsupported(call.line, fmt::format("function '{}'", name));
      }
    } else if (call.callee->kind == ExprKind::kAttribute) {
      const std::string& name = static_cast<const AttributeExpr&>(*call.callee).name;
      if (!IsKnownMethod(name) && !known_.attributes.contains(name)) {
        FailUnsupported(call.line, fmt::format("method '{}'", name));
      }
    }
  }

  // A literal filter or test name among the arguments.
  static const Value* LiteralArgument(const FilterExpr& filter, size_t index) {
    if (filter.arguments.positional.size() <= index) return nullptr;
    const Expr& argument = *filter.arguments.positional[index];
    if (argument.kind != ExprKind::kConst) return nullptr;
    const Value& value = static_cast<const ConstExpr&>(argument).value;
    return value.Is(Kind::kString) ? &value : nullptr;
  }

  void CheckFilter(const FilterExpr& filter) {
    const std::string_view name = filter.filter.name;
    if (name == "map") {
      const Value* inner = LiteralArgument(filter, 0);
      if (inner != nullptr && FindFilter(inner->Text()) == nullptr) {
        FailUnsupported(filter.line, fmt::format("filter '{}'", inner->Text()));
      }
      return;
    }
    const bool by_item = name == "select" || name == "reject";
    const bool by_attribute = name == "selectattr" || name == "rejectattr";
    if (!by_item && !by_attribute) return;
    const Value* test = LiteralArgument(filter, by_item ? 0 : 1);
    if (test != nullptr && FindTest(test->Text()) == nullptr) {
      FailUnsupported(filter.line, fmt::format("test '{}'", test->Text()));
    }
  }

  const Meanings& known_;
};

}  // namespace

void CheckNames(Block& body) {
  Meanings meanings;
  WalkBlock(body, &meanings);
  Checker checker(meanings);
  WalkBlock(body, &checker);
}

}  // namespace qnext::jinja
