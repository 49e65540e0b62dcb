// The expression half of the parser.
#pragma once

#include <memory>
#include <string_view>

#include "text/jinja/ast.h"
#include "text/jinja/token_stream.h"

namespace qnext::jinja {

// Expressions taller than this are refused, in the source and in the tree: evaluating and destroying one recurses.
// Python refuses an expression of about 200 as well, when it compiles what Jinja generates.
inline constexpr int kMaxExpressionHeight = 200;

// `tokens` must outlive it.
class ExpressionParser {
 public:
  explicit ExpressionParser(TokenStream* tokens) : tokens_(*tokens) {}

  ExprPtr ParseExpression();        // with "a if b else c"
  ExprPtr ParseWithoutCondition();  // without
  // One expression, or several with commas between them: a tuple.
  ExprPtr ParseTuple(bool with_condition);
  // "| filter" any number of times; `node` null for the block forms. `first_without_pipe`: {% filter upper %}.
  ExprPtr ParseFilters(ExprPtr node, bool first_without_pipe);
  // An assignment target. `with_attributes`: "ns.x" is one too.
  Target ParseTarget(bool with_attributes);
  Target ParseNameTarget();

 private:
  struct DepthGuard {
    explicit DepthGuard(ExpressionParser* parser);
    ~DepthGuard() { --parser_.depth_; }
    ExpressionParser& parser_;
  };

  ExprPtr ParseOr();
  ExprPtr ParseAnd();
  ExprPtr ParseNot();
  ExprPtr ParseCompare();
  ExprPtr ParseSum();
  ExprPtr ParseConcat();
  ExprPtr ParseProduct();
  ExprPtr ParsePower();
  ExprPtr ParseUnary(bool with_filters);
  ExprPtr ParsePrimary(bool with_attributes);
  ExprPtr ParseNameOrConstant(bool with_attributes);
  ExprPtr ParseParenthesized();
  ExprPtr ParseList();
  ExprPtr ParseDict();
  ExprPtr ParsePostfix(ExprPtr node);
  ExprPtr ParseFilterExpr(ExprPtr node);
  ExprPtr ParseSubscript(ExprPtr node);
  ExprPtr ParseBrackets(ExprPtr node, int line);
  ExprPtr ParseCall(ExprPtr node);
  ExprPtr ParseTest(ExprPtr node);
  CallArguments ParseArguments();
  std::string ParseDottedName();

  enum class TupleItems { kFull, kWithoutCondition, kTargets, kAttributeTargets };
  ExprPtr ParseTupleOf(TupleItems items, bool in_parentheses);
  bool AtTupleEnd() const;

  TokenStream& tokens_;
  int depth_ = 0;
};

}  // namespace qnext::jinja
