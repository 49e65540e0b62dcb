// The tree a template is parsed into. parser.cc builds it, scope.cc resolves its names to slots, interpreter.cc walks
// it. Immutable afterwards.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja/value.h"

namespace qnext::jinja {

struct FilterFunction;
struct TestFunction;

// A variable: `hops` functions outward, then a slot of that function's Activation.
struct SlotRef {
  int hops = 0;
  int slot = -1;
};

enum class ExprKind : uint8_t {
  kConst,
  kName,
  kList,
  kTuple,
  kDict,
  kUnary,
  kBinary,
  kLogic,
  kConcat,
  kCompare,
  kConditional,
  kAttribute,
  kItem,
  kSlice,
  kCall,
  kFilter,
  kTest,
  kNamespaceRef,  // "ns.x" as an assignment target; never evaluated
};

struct Expr {
  Expr(ExprKind which, int at_line) : kind(which), line(at_line) {}
  virtual ~Expr() = default;

  ExprKind kind;
  int line;
  int height = 1;  // 1 + the tallest operand's
};
using ExprPtr = std::unique_ptr<Expr>;

struct ConstExpr : Expr {
  ConstExpr(int at_line, Value constant) : Expr(ExprKind::kConst, at_line), value(std::move(constant)) {}
  Value value;
};

struct NameExpr : Expr {
  NameExpr(int at_line, std::string text) : Expr(ExprKind::kName, at_line), name(std::move(text)) {}
  std::string name;
  SlotRef slot;
};

struct SequenceExpr : Expr {  // kList, kTuple, kConcat
  using Expr::Expr;
  std::vector<ExprPtr> items;
};

struct DictExpr : Expr {
  explicit DictExpr(int at_line) : Expr(ExprKind::kDict, at_line) {}
  std::vector<std::pair<ExprPtr, ExprPtr>> items;
};

enum class UnaryOp : uint8_t { kNot, kNegate, kPlus };

struct UnaryExpr : Expr {
  UnaryExpr(int at_line, UnaryOp which, ExprPtr of)
      : Expr(ExprKind::kUnary, at_line), op(which), operand(std::move(of)) {}
  UnaryOp op;
  ExprPtr operand;
};

enum class BinaryOp : uint8_t { kAdd, kSubtract, kMultiply, kDivide, kFloorDivide, kModulo, kPower };

struct BinaryExpr : Expr {
  BinaryExpr(int at_line, BinaryOp which, ExprPtr a, ExprPtr b)
      : Expr(ExprKind::kBinary, at_line), op(which), left(std::move(a)), right(std::move(b)) {}
  BinaryOp op;
  ExprPtr left;
  ExprPtr right;
};

enum class LogicOp : uint8_t { kAnd, kOr };

struct LogicExpr : Expr {
  LogicExpr(int at_line, LogicOp which, ExprPtr a, ExprPtr b)
      : Expr(ExprKind::kLogic, at_line), op(which), left(std::move(a)), right(std::move(b)) {}
  LogicOp op;
  ExprPtr left;
  ExprPtr right;
};

enum class CompareOp : uint8_t { kEqual, kNotEqual, kLess, kLessEqual, kGreater, kGreaterEqual, kIn, kNotIn };

struct CompareExpr : Expr {
  CompareExpr(int at_line, ExprPtr a) : Expr(ExprKind::kCompare, at_line), first(std::move(a)) {}
  ExprPtr first;
  std::vector<std::pair<CompareOp, ExprPtr>> rest;
};

struct ConditionalExpr : Expr {
  ConditionalExpr(int at_line, ExprPtr condition, ExprPtr then, ExprPtr otherwise)
      : Expr(ExprKind::kConditional, at_line),
        test(std::move(condition)),
        if_true(std::move(then)),
        if_false(std::move(otherwise)) {}
  ExprPtr test;
  ExprPtr if_true;
  ExprPtr if_false;  // null: undefined
};

struct AttributeExpr : Expr {
  AttributeExpr(int at_line, ExprPtr of, std::string attribute)
      : Expr(ExprKind::kAttribute, at_line), object(std::move(of)), name(std::move(attribute)) {}
  ExprPtr object;
  std::string name;
};

struct ItemExpr : Expr {
  ItemExpr(int at_line, ExprPtr of, ExprPtr at)
      : Expr(ExprKind::kItem, at_line), object(std::move(of)), index(std::move(at)) {}
  ExprPtr object;
  ExprPtr index;
};

struct SliceExpr : Expr {
  SliceExpr(int at_line, ExprPtr of) : Expr(ExprKind::kSlice, at_line), object(std::move(of)) {}
  ExprPtr object;
  ExprPtr start;  // each may be null
  ExprPtr stop;
  ExprPtr step;
};

struct CallArguments {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> named;
  ExprPtr more_positional;  // *args, may be null
  ExprPtr more_named;       // **kwargs, may be null
};

struct CallExpr : Expr {
  CallExpr(int at_line, ExprPtr function) : Expr(ExprKind::kCall, at_line), callee(std::move(function)) {}
  ExprPtr callee;
  CallArguments arguments;
};

struct FilterExpr : Expr {
  FilterExpr(int at_line, ExprPtr of, const FilterFunction& which)
      : Expr(ExprKind::kFilter, at_line), input(std::move(of)), filter(which) {}
  ExprPtr input;  // null: the body of {% filter %} or {% set %}
  const FilterFunction& filter;
  CallArguments arguments;
};

struct TestExpr : Expr {
  TestExpr(int at_line, ExprPtr of, const TestFunction& which)
      : Expr(ExprKind::kTest, at_line), input(std::move(of)), test(which) {}
  ExprPtr input;
  const TestFunction& test;
  CallArguments arguments;
};

struct NamespaceRefExpr : Expr {
  NamespaceRefExpr(int at_line, std::string variable, std::string attribute_name)
      : Expr(ExprKind::kNamespaceRef, at_line), name(std::move(variable)), attribute(std::move(attribute_name)) {}
  std::string name;
  std::string attribute;
};

// What may stand left of "=" and between "for" and "in".
struct Target {
  enum class Kind : uint8_t { kName, kTuple, kNamespaceAttribute };
  Kind kind = Kind::kName;
  int line = 0;
  std::string name;
  std::string attribute;      // kNamespaceAttribute
  std::vector<Target> items;  // kTuple
  SlotRef slot;               // of `name`
};

enum class StatementKind : uint8_t {
  kOutput,
  kFor,
  kIf,
  kMacro,
  kCallBlock,
  kFilterBlock,
  kWith,
  kAssign,
  kAssignBlock,
  kBreak,
  kContinue,
};

struct Statement {
  Statement(StatementKind which, int at_line) : kind(which), line(at_line) {}
  virtual ~Statement() = default;
  StatementKind kind;
  int line;
};
using Block = std::vector<std::unique_ptr<Statement>>;

// How a scope's variables come to their first values, and which are forgotten when it ends: Jinja's rules (a name that
// is only read comes from outside, a name that is assigned starts as a copy of the outer one, and so on), settled when
// the template is compiled.
struct ScopePlan {
  enum class Action : uint8_t { kFromContext, kCopy, kMissing };
  struct Load {
    int slot;
    Action action;
    size_t variable;  // kFromContext: into TemplateTree::variables
    SlotRef from;     // kCopy
  };
  std::vector<Load> enter;
  std::vector<int> leave;
};

struct OutputStatement : Statement {
  explicit OutputStatement(int at_line) : Statement(StatementKind::kOutput, at_line) {}
  std::vector<ExprPtr> items;
};

struct ForStatement : Statement {
  explicit ForStatement(int at_line) : Statement(StatementKind::kFor, at_line) {}
  Target target;
  ExprPtr iterated;
  ExprPtr test;  // may be null
  bool recursive = false;
  Block body;
  Block otherwise;

  int loop_slot = -1;  // of `loop`; -1 when the body never mentions it
  ScopePlan body_scope;
  ScopePlan else_scope;
  size_t function_slots = 0;  // recursive: the loop is a function of its own
  Target test_target;         // the test runs in a function of its own, with its own copy of the target
  ScopePlan test_scope;
  size_t test_slots = 0;
};

struct IfStatement : Statement {
  explicit IfStatement(int at_line) : Statement(StatementKind::kIf, at_line) {}
  struct Branch {
    ExprPtr test;
    Block body;
  };
  std::vector<Branch> branches;  // if, elif...
  Block otherwise;
};

struct MacroBody {
  std::string name;  // empty for call blocks
  int line = 0;
  std::vector<std::string> parameters;
  std::vector<ExprPtr> defaults;  // of the last defaults.size() parameters
  Block body;

  std::vector<int> parameter_slots;
  int caller_slot = -1;  // -1: not used by the body
  int kwargs_slot = -1;
  int varargs_slot = -1;
  bool explicit_caller = false;  // `caller` is among the parameters
  ScopePlan scope;
  size_t slots = 0;
};

struct MacroStatement : Statement {
  explicit MacroStatement(int at_line) : Statement(StatementKind::kMacro, at_line) {}
  MacroBody macro;
  SlotRef slot;
};

struct CallBlockStatement : Statement {
  explicit CallBlockStatement(int at_line) : Statement(StatementKind::kCallBlock, at_line) {}
  ExprPtr call;  // a CallExpr; null for {% generation %}, which renders its body and nothing else
  MacroBody macro;
};

struct FilterBlockStatement : Statement {
  explicit FilterBlockStatement(int at_line) : Statement(StatementKind::kFilterBlock, at_line) {}
  ExprPtr filter;
  Block body;
  ScopePlan scope;
};

struct WithStatement : Statement {
  explicit WithStatement(int at_line) : Statement(StatementKind::kWith, at_line) {}
  std::vector<std::pair<Target, ExprPtr>> variables;
  Block body;
  ScopePlan scope;
};

struct AssignStatement : Statement {
  explicit AssignStatement(int at_line) : Statement(StatementKind::kAssign, at_line) {}
  Target target;
  ExprPtr value;
};

struct AssignBlockStatement : Statement {
  explicit AssignBlockStatement(int at_line) : Statement(StatementKind::kAssignBlock, at_line) {}
  Target target;
  ExprPtr filter;  // may be null
  Block body;
  ScopePlan scope;
};

struct JumpStatement : Statement {  // kBreak, kContinue
  using Statement::Statement;
};

struct TemplateTree {
  Block body;
  ScopePlan scope;
  size_t slots = 0;
  std::vector<std::string> variables;  // names that come from the context or the globals
};

}  // namespace qnext::jinja
