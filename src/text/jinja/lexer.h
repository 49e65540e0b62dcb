// Template source to tokens, with Jinja's whitespace control (trim_blocks and lstrip_blocks on).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/value.h"

namespace qnext::jinja {

enum class TokenKind : uint8_t {
  kData,
  kVariableBegin,
  kVariableEnd,
  kBlockBegin,
  kBlockEnd,
  kName,
  kString,
  kInteger,
  kFloat,
  kOperator,
  kEnd,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  int line = 1;
  std::string text;  // a name, an operator's spelling, or a string's value
  Value number;      // of kInteger and kFloat

  bool IsOperator(std::string_view spelling) const { return kind == TokenKind::kOperator && text == spelling; }
  bool IsName(std::string_view name) const { return kind == TokenKind::kName && text == name; }
};

// The last token is kEnd. Throws TemplateError for what Jinja's lexer refuses. `source` is well-formed UTF-8.
std::vector<Token> Tokenize(std::string_view source);

// How messages name a token.
std::string Describe(const Token& token);

}  // namespace qnext::jinja
