#include "text/jinja/expression_parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "text/jinja/error.h"
#include "text/jinja/node_height.h"

namespace qnext::jinja {
namespace {

std::optional<CompareOp> CompareOpOf(const Token& token) {
  if (token.kind != TokenKind::kOperator) return std::nullopt;
  constexpr std::array<std::pair<std::string_view, CompareOp>, 6> kOps = {{{"==", CompareOp::kEqual},
                                                                           {"!=", CompareOp::kNotEqual},
                                                                           {"<", CompareOp::kLess},
                                                                           {"<=", CompareOp::kLessEqual},
                                                                           {">", CompareOp::kGreater},
                                                                           {">=", CompareOp::kGreaterEqual}}};
  for (const auto& [spelling, op] : kOps) {
    if (token.text == spelling) return op;
  }
  return std::nullopt;
}

Target TargetOf(const Expr& node) {
  Target target;
  target.line = node.line;
  if (node.kind == ExprKind::kName) {
    target.name = static_cast<const NameExpr&>(node).name;
    return target;
  }
  if (node.kind == ExprKind::kNamespaceRef) {
    target.kind = Target::Kind::kNamespaceAttribute;
    target.name = static_cast<const NamespaceRefExpr&>(node).name;
    target.attribute = static_cast<const NamespaceRefExpr&>(node).attribute;
    return target;
  }
  if (node.kind == ExprKind::kTuple) {
    target.kind = Target::Kind::kTuple;
    for (const ExprPtr& item : static_cast<const SequenceExpr&>(node).items) target.items.push_back(TargetOf(*item));
    return target;
  }
  FailSyntax(node.line, "can't assign to this expression");
}

}  // namespace

void TokenStream::FailExpected(std::string_view what) const {
  if (At(TokenKind::kEnd)) FailSyntax(line(), fmt::format("unexpected end of template, expected '{}'", what));
  FailSyntax(line(), fmt::format("expected token '{}', got '{}'", what, Describe(current())));
}

ExpressionParser::DepthGuard::DepthGuard(ExpressionParser* parser) : parser_(*parser) {
  if (++parser_.depth_ > kMaxExpressionHeight) {
    FailUnsupported(parser_.tokens_.line(),
                    fmt::format("an expression nested more than {} levels deep", kMaxExpressionHeight));
  }
}

ExprPtr ExpressionParser::ParseExpression() {
  const DepthGuard guard(this);
  int line = tokens_.line();
  ExprPtr node = ParseOr();
  while (tokens_.SkipName("if")) {
    ExprPtr test = ParseOr();
    ExprPtr otherwise = tokens_.SkipName("else") ? ParseExpression() : nullptr;
    const int height = std::max({HeightOf(node), HeightOf(test), HeightOf(otherwise)});
    node =
        Over(std::make_unique<ConditionalExpr>(line, std::move(test), std::move(node), std::move(otherwise)), height);
    line = tokens_.line();
  }
  return node;
}

ExprPtr ExpressionParser::ParseWithoutCondition() {
  const DepthGuard guard(this);
  return ParseOr();
}

ExprPtr ExpressionParser::ParseOr() {
  const int line = tokens_.line();
  ExprPtr left = ParseAnd();
  while (tokens_.SkipName("or")) left = MakeBinary<LogicExpr>(line, LogicOp::kOr, std::move(left), ParseAnd());
  return left;
}

ExprPtr ExpressionParser::ParseAnd() {
  const int line = tokens_.line();
  ExprPtr left = ParseNot();
  while (tokens_.SkipName("and")) left = MakeBinary<LogicExpr>(line, LogicOp::kAnd, std::move(left), ParseNot());
  return left;
}

ExprPtr ExpressionParser::ParseNot() {
  if (!tokens_.AtName("not")) return ParseCompare();
  const DepthGuard guard(this);
  const int line = tokens_.Next().line;
  ExprPtr operand = ParseNot();
  const int height = operand->height;
  return Over(std::make_unique<UnaryExpr>(line, UnaryOp::kNot, std::move(operand)), height);
}

ExprPtr ExpressionParser::ParseCompare() {
  const int line = tokens_.line();
  ExprPtr first = ParseSum();
  std::unique_ptr<CompareExpr> compare;
  int height = first->height;
  while (true) {
    CompareOp op = CompareOp::kIn;
    if (const std::optional<CompareOp> sign = CompareOpOf(tokens_.current()); sign.has_value()) {
      op = *sign;
      tokens_.Next();
    } else if (tokens_.AtName("not") && tokens_.ahead().IsName("in")) {
      op = CompareOp::kNotIn;
      tokens_.Next();
      tokens_.Next();
    } else if (!tokens_.SkipName("in")) {
      break;
    }
    if (compare == nullptr) compare = std::make_unique<CompareExpr>(line, std::move(first));
    compare->rest.emplace_back(op, ParseSum());
    height = std::max(height, compare->rest.back().second->height);
  }
  if (compare == nullptr) return first;
  return Over(std::move(compare), height);
}

ExprPtr ExpressionParser::ParseSum() {
  const int line = tokens_.line();
  ExprPtr left = ParseConcat();
  while (tokens_.AtOperator("+") || tokens_.AtOperator("-")) {
    const BinaryOp op = tokens_.Next().text == "+" ? BinaryOp::kAdd : BinaryOp::kSubtract;
    left = MakeBinary<BinaryExpr>(line, op, std::move(left), ParseConcat());
  }
  return left;
}

ExprPtr ExpressionParser::ParseConcat() {
  const int line = tokens_.line();
  ExprPtr first = ParseProduct();
  if (!tokens_.AtOperator("~")) return first;
  auto concat = std::make_unique<SequenceExpr>(ExprKind::kConcat, line);
  int height = first->height;
  concat->items.push_back(std::move(first));
  while (tokens_.SkipOperator("~")) {
    concat->items.push_back(ParseProduct());
    height = std::max(height, concat->items.back()->height);
  }
  return Over(std::move(concat), height);
}

ExprPtr ExpressionParser::ParseProduct() {
  const int line = tokens_.line();
  ExprPtr left = ParsePower();
  while (true) {
    BinaryOp op = BinaryOp::kMultiply;
    if (tokens_.AtOperator("/")) {
      op = BinaryOp::kDivide;
    } else if (tokens_.AtOperator("//")) {
      op = BinaryOp::kFloorDivide;
    } else if (tokens_.AtOperator("%")) {
      op = BinaryOp::kModulo;
    } else if (!tokens_.AtOperator("*")) {
      return left;
    }
    tokens_.Next();
    left = MakeBinary<BinaryExpr>(line, op, std::move(left), ParsePower());
  }
}

ExprPtr ExpressionParser::ParsePower() {
  const int line = tokens_.line();
  ExprPtr left = ParseUnary(/*with_filters=*/true);
  while (tokens_.SkipOperator("**")) {
    left = MakeBinary<BinaryExpr>(line, BinaryOp::kPower, std::move(left), ParseUnary(/*with_filters=*/true));
  }
  return left;
}

ExprPtr ExpressionParser::ParseUnary(bool with_filters) {
  const DepthGuard guard(this);
  const int line = tokens_.line();
  ExprPtr node;
  if (tokens_.AtOperator("-") || tokens_.AtOperator("+")) {
    const UnaryOp op = tokens_.Next().text == "-" ? UnaryOp::kNegate : UnaryOp::kPlus;
    ExprPtr operand = ParseUnary(/*with_filters=*/false);
    const int height = operand->height;
    node = Over(std::make_unique<UnaryExpr>(line, op, std::move(operand)), height);
  } else {
    node = ParsePrimary(/*with_attributes=*/false);
  }
  node = ParsePostfix(std::move(node));
  return with_filters ? ParseFilterExpr(std::move(node)) : std::move(node);
}

bool ExpressionParser::AtTupleEnd() const {
  return tokens_.At(TokenKind::kVariableEnd) || tokens_.At(TokenKind::kBlockEnd) || tokens_.AtOperator(")");
}

ExprPtr ExpressionParser::ParseTupleOf(TupleItems items, bool in_parentheses) {
  const int line = tokens_.line();
  auto tuple = std::make_unique<SequenceExpr>(ExprKind::kTuple, line);
  bool is_tuple = false;
  int height = 0;
  while (true) {
    if (!tuple->items.empty()) tokens_.ExpectOperator(",");
    if (AtTupleEnd()) break;
    switch (items) {
      case TupleItems::kFull:
        tuple->items.push_back(ParseExpression());
        break;
      case TupleItems::kWithoutCondition:
        tuple->items.push_back(ParseWithoutCondition());
        break;
      case TupleItems::kTargets:
      case TupleItems::kAttributeTargets:
        tuple->items.push_back(ParsePrimary(items == TupleItems::kAttributeTargets));
        break;
    }
    height = std::max(height, tuple->items.back()->height);
    if (!tokens_.AtOperator(",")) break;
    is_tuple = true;
  }
  if (!is_tuple) {
    if (!tuple->items.empty()) return std::move(tuple->items[0]);
    if (!in_parentheses) {
      FailSyntax(tokens_.line(), fmt::format("Expected an expression, got '{}'", Describe(tokens_.current())));
    }
  }
  return Over(std::move(tuple), height);
}

ExprPtr ExpressionParser::ParseTuple(bool with_condition) {
  return ParseTupleOf(with_condition ? TupleItems::kFull : TupleItems::kWithoutCondition, /*in_parentheses=*/false);
}

Target ExpressionParser::ParseTarget(bool with_attributes) {
  return TargetOf(*ParseTupleOf(with_attributes ? TupleItems::kAttributeTargets : TupleItems::kTargets,
                                /*in_parentheses=*/false));
}

Target ExpressionParser::ParseNameTarget() {
  const Token& token = tokens_.Expect(TokenKind::kName, "name");
  Target target;
  target.line = token.line;
  target.name = token.text;
  for (const std::string_view constant : {"true", "false", "none", "True", "False", "None"}) {
    if (target.name == constant) FailSyntax(token.line, fmt::format("can't assign to '{}'", constant));
  }
  return target;
}

}  // namespace qnext::jinja
