// Literals, names, and what follows them: subscripts, calls, filters and tests.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "text/jinja/error.h"
#include "text/jinja/expression_parser.h"
#include "text/jinja/functions.h"
#include "text/jinja/node_height.h"

namespace qnext::jinja {

ExprPtr ExpressionParser::ParsePrimary(bool with_attributes) {
  const Token& token = tokens_.current();
  switch (token.kind) {
    case TokenKind::kName:
      return ParseNameOrConstant(with_attributes);
    case TokenKind::kString: {
      const int line = token.line;
      std::string text;
      while (tokens_.At(TokenKind::kString)) text += tokens_.Next().text;
      return std::make_unique<ConstExpr>(line, Value::String(std::move(text)));
    }
    case TokenKind::kInteger:
    case TokenKind::kFloat: {
      const Token& number = tokens_.Next();
      return std::make_unique<ConstExpr>(number.line, number.number);
    }
    default:
      break;
  }
  if (token.IsOperator("(")) return ParseParenthesized();
  if (token.IsOperator("[")) return ParseList();
  if (token.IsOperator("{")) return ParseDict();
  FailSyntax(token.line, fmt::format("unexpected '{}'", Describe(token)));
}

ExprPtr ExpressionParser::ParseNameOrConstant(bool with_attributes) {
  const Token& token = tokens_.Next();
  const std::string& name = token.text;
  if (name == "true" || name == "True") return std::make_unique<ConstExpr>(token.line, Value::Bool(true));
  if (name == "false" || name == "False") return std::make_unique<ConstExpr>(token.line, Value::Bool(false));
  if (name == "none" || name == "None") return std::make_unique<ConstExpr>(token.line, Value::None());
  if (with_attributes && tokens_.SkipOperator(".")) {
    return std::make_unique<NamespaceRefExpr>(token.line, name, tokens_.Expect(TokenKind::kName, "name").text);
  }
  return std::make_unique<NameExpr>(token.line, name);
}

ExprPtr ExpressionParser::ParseParenthesized() {
  tokens_.ExpectOperator("(");
  ExprPtr node = ParseTupleOf(TupleItems::kFull, /*in_parentheses=*/true);
  tokens_.ExpectOperator(")");
  return node;
}

ExprPtr ExpressionParser::ParseList() {
  auto list = std::make_unique<SequenceExpr>(ExprKind::kList, tokens_.line());
  tokens_.ExpectOperator("[");
  int height = 0;
  while (!tokens_.AtOperator("]")) {
    if (!list->items.empty()) tokens_.ExpectOperator(",");
    if (tokens_.AtOperator("]")) break;
    list->items.push_back(ParseExpression());
    height = std::max(height, list->items.back()->height);
  }
  tokens_.ExpectOperator("]");
  return Over(std::move(list), height);
}

ExprPtr ExpressionParser::ParseDict() {
  auto dict = std::make_unique<DictExpr>(tokens_.line());
  tokens_.ExpectOperator("{");
  int height = 0;
  while (!tokens_.AtOperator("}")) {
    if (!dict->items.empty()) tokens_.ExpectOperator(",");
    if (tokens_.AtOperator("}")) break;
    ExprPtr key = ParseExpression();
    tokens_.ExpectOperator(":");
    ExprPtr value = ParseExpression();
    height = std::max({height, key->height, value->height});
    dict->items.emplace_back(std::move(key), std::move(value));
  }
  tokens_.ExpectOperator("}");
  return Over(std::move(dict), height);
}

ExprPtr ExpressionParser::ParsePostfix(ExprPtr node) {
  while (true) {
    if (tokens_.AtOperator(".") || tokens_.AtOperator("[")) {
      node = ParseSubscript(std::move(node));
    } else if (tokens_.AtOperator("(")) {
      node = ParseCall(std::move(node));
    } else {
      return node;
    }
  }
}

ExprPtr ExpressionParser::ParseFilterExpr(ExprPtr node) {
  while (true) {
    if (tokens_.AtOperator("|")) {
      node = ParseFilters(std::move(node), /*first_without_pipe=*/false);
    } else if (tokens_.AtName("is")) {
      node = ParseTest(std::move(node));
    } else if (tokens_.AtOperator("(")) {
      node = ParseCall(std::move(node));
    } else {
      return node;
    }
  }
}

ExprPtr ExpressionParser::ParseSubscript(ExprPtr node) {
  const Token& token = tokens_.Next();
  if (token.text == "[") return ParseBrackets(std::move(node), token.line);
  const int height = node->height;
  const Token& attribute = tokens_.Next();
  if (attribute.kind == TokenKind::kName) {
    return Over(std::make_unique<AttributeExpr>(token.line, std::move(node), attribute.text), height);
  }
  if (attribute.kind != TokenKind::kInteger) FailSyntax(attribute.line, "expected name or number");
  auto index = std::make_unique<ConstExpr>(attribute.line, attribute.number);
  return Over(std::make_unique<ItemExpr>(token.line, std::move(node), std::move(index)), height);
}

// "[index]", "[start:stop:step]", and "[a, b]", whose index is a tuple.
ExprPtr ExpressionParser::ParseBrackets(ExprPtr node, int line) {
  std::vector<ExprPtr> indices;
  int height = node->height;
  while (!tokens_.AtOperator("]")) {
    if (!indices.empty()) tokens_.ExpectOperator(",");
    ExprPtr start = tokens_.AtOperator(":") ? nullptr : ParseExpression();
    height = std::max(height, HeightOf(start));
    if (!tokens_.SkipOperator(":")) {
      indices.push_back(std::move(start));
      continue;
    }
    auto slice = std::make_unique<SliceExpr>(line, std::move(node));
    slice->start = std::move(start);
    const auto at_part_end = [this] {
      return tokens_.AtOperator(":") || tokens_.AtOperator("]") || tokens_.AtOperator(",");
    };
    if (!at_part_end()) slice->stop = ParseExpression();
    if (tokens_.SkipOperator(":") && !at_part_end()) slice->step = ParseExpression();
    // Python knows no slice among several indices.
    if (!indices.empty() || !tokens_.AtOperator("]")) FailSyntax(line, "a slice must be the only subscript");
    tokens_.Next();
    height = std::max({height, HeightOf(slice->stop), HeightOf(slice->step)});
    return Over(std::move(slice), height);
  }
  tokens_.ExpectOperator("]");
  ExprPtr index;
  if (indices.size() == 1) {
    index = std::move(indices[0]);
  } else {
    auto tuple = std::make_unique<SequenceExpr>(ExprKind::kTuple, line);
    tuple->items = std::move(indices);
    index = Over(std::move(tuple), height);
  }
  height = std::max(height, index->height);
  return Over(std::make_unique<ItemExpr>(line, std::move(node), std::move(index)), height);
}

CallArguments ExpressionParser::ParseArguments() {
  const int line = tokens_.line();
  tokens_.ExpectOperator("(");
  CallArguments arguments;
  const auto require = [line](bool condition) {
    if (!condition) FailSyntax(line, "invalid syntax for function call expression");
  };
  bool first = true;
  while (!tokens_.AtOperator(")")) {
    if (!std::exchange(first, false)) {
      tokens_.ExpectOperator(",");
      if (tokens_.AtOperator(")")) break;
    }
    if (tokens_.SkipOperator("*")) {
      require(arguments.more_positional == nullptr && arguments.more_named == nullptr);
      arguments.more_positional = ParseExpression();
    } else if (tokens_.SkipOperator("**")) {
      require(arguments.more_named == nullptr);
      arguments.more_named = ParseExpression();
    } else if (tokens_.At(TokenKind::kName) && tokens_.ahead().IsOperator("=")) {
      require(arguments.more_named == nullptr);
      std::string name = tokens_.Next().text;
      tokens_.Next();
      for (const auto& [other, value] : arguments.named) {
        if (other == name) FailSyntax(line, fmt::format("keyword argument repeated: {}", name));
      }
      arguments.named.emplace_back(std::move(name), ParseExpression());
    } else {
      require(arguments.more_positional == nullptr && arguments.more_named == nullptr && arguments.named.empty());
      arguments.positional.push_back(ParseExpression());
    }
  }
  tokens_.ExpectOperator(")");
  return arguments;
}

ExprPtr ExpressionParser::ParseCall(ExprPtr node) {
  const int line = tokens_.line();
  const int callee_height = node->height;
  auto call = std::make_unique<CallExpr>(line, std::move(node));
  call->arguments = ParseArguments();
  const int height = std::max(callee_height, HeightOf(call->arguments));
  return Over(std::move(call), height);
}

std::string ExpressionParser::ParseDottedName() {
  std::string name = tokens_.Expect(TokenKind::kName, "name").text;
  while (tokens_.SkipOperator(".")) name += "." + tokens_.Expect(TokenKind::kName, "name").text;
  return name;
}

ExprPtr ExpressionParser::ParseFilters(ExprPtr node, bool first_without_pipe) {
  while (std::exchange(first_without_pipe, false) || tokens_.SkipOperator("|")) {
    const int line = tokens_.line();
    const std::string name = ParseDottedName();
    const FilterFunction* found = FindFilter(name);
    if (found == nullptr) FailUnsupported(line, fmt::format("filter '{}'", name));
    const int input_height = HeightOf(node);
    auto filter = std::make_unique<FilterExpr>(line, std::move(node), *found);
    if (tokens_.AtOperator("(")) filter->arguments = ParseArguments();
    const int height = std::max(input_height, HeightOf(filter->arguments));
    node = Over(std::move(filter), height);
  }
  return node;
}

ExprPtr ExpressionParser::ParseTest(ExprPtr node) {
  const int line = tokens_.Next().line;
  const bool negated = tokens_.SkipName("not");
  const std::string name = ParseDottedName();
  const TestFunction* found = FindTest(name);
  if (found == nullptr) FailUnsupported(line, fmt::format("test '{}'", name));
  const int input_height = node->height;
  auto test = std::make_unique<TestExpr>(line, std::move(node), *found);
  const Token& next = tokens_.current();
  const bool operand_follows = next.kind == TokenKind::kName || next.kind == TokenKind::kString ||
                               next.kind == TokenKind::kInteger || next.kind == TokenKind::kFloat ||
                               next.IsOperator("[") || next.IsOperator("{");
  if (next.IsOperator("(")) {
    test->arguments = ParseArguments();
  } else if (operand_follows && !next.IsName("else") && !next.IsName("or") && !next.IsName("and")) {
    if (next.IsName("is")) FailSyntax(next.line, "You cannot chain multiple tests with is");
    test->arguments.positional.push_back(ParsePostfix(ParsePrimary(/*with_attributes=*/false)));
  }
  const int height = std::max(input_height, HeightOf(test->arguments));
  ExprPtr result = Over(std::move(test), height);
  if (!negated) return result;
  return Over(std::make_unique<UnaryExpr>(line, UnaryOp::kNot, std::move(result)), height + 1);
}

}  // namespace qnext::jinja
