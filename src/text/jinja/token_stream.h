// The parser's view of the tokens: one current, any number ahead.
#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja/lexer.h"

namespace qnext::jinja {

class TokenStream {
 public:
  explicit TokenStream(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& current() const { return tokens_[at_]; }
  const Token& ahead() const { return tokens_[at_ + 1 < tokens_.size() ? at_ + 1 : at_]; }
  int line() const { return current().line; }
  bool At(TokenKind kind) const { return current().kind == kind; }
  bool AtOperator(std::string_view op) const { return current().IsOperator(op); }
  bool AtName(std::string_view name) const { return current().IsName(name); }

  // The current token, moving past it; the end stays current.
  const Token& Next() { return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]; }

  bool SkipOperator(std::string_view op) {
    if (!AtOperator(op)) return false;
    Next();
    return true;
  }
  bool SkipName(std::string_view name) {
    if (!AtName(name)) return false;
    Next();
    return true;
  }
  const Token& Expect(TokenKind kind, std::string_view what) {
    if (!At(kind)) FailExpected(what);
    return Next();
  }
  void ExpectOperator(std::string_view op) {
    if (!SkipOperator(op)) FailExpected(op);
  }
  void ExpectName(std::string_view name) {
    if (!SkipName(name)) FailExpected(name);
  }

 private:
  [[noreturn]] void FailExpected(std::string_view what) const;

  std::vector<Token> tokens_;
  size_t at_ = 0;
};

}  // namespace qnext::jinja
