// Heights of expression nodes, kept while parsing.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "text/jinja/ast.h"
#include "text/jinja/error.h"
#include "text/jinja/expression_parser.h"

namespace qnext::jinja {

inline int HeightOf(const ExprPtr& node) { return node == nullptr ? 0 : node->height; }

inline int HeightOf(const CallArguments& arguments) {
  int height = std::max(HeightOf(arguments.more_positional), HeightOf(arguments.more_named));
  for (const ExprPtr& argument : arguments.positional) height = std::max(height, argument->height);
  for (const auto& [name, argument] : arguments.named) height = std::max(height, argument->height);
  return height;
}

// Records the height of a node over its operands' and refuses what grows too tall.
template <typename Node>
ExprPtr Over(std::unique_ptr<Node> node, int operands_height) {
  node->height = operands_height + 1;
  if (node->height > kMaxExpressionHeight) {
    FailUnsupported(node->line, fmt::format("an expression nested more than {} levels deep", kMaxExpressionHeight));
  }
  return node;
}

template <typename Node, typename Op>
ExprPtr MakeBinary(int line, Op op, ExprPtr left, ExprPtr right) {
  const int height = std::max(left->height, right->height);
  return Over(std::make_unique<Node>(line, op, std::move(left), std::move(right)), height);
}

}  // namespace qnext::jinja
