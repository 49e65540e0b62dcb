#include "text/jinja/parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "text/jinja/error.h"
#include "text/jinja/expression_parser.h"
#include "text/jinja/lexer.h"
#include "text/jinja/token_stream.h"

namespace qnext::jinja {
namespace {

// Statements within statements beyond this are refused; Python stops at 100 levels of the code that Jinja generates.
constexpr int kMaxStatementDepth = 100;

// Tags that Jinja has and this engine does not: they need other templates, or escape HTML.
constexpr std::string_view kUnsupportedTags[] = {"block", "extends", "include", "import", "from", "autoescape"};

// Tags that only make sense inside others.
constexpr std::string_view kInnerTags[] = {"elif",          "else",     "endif",        "endfor",  "endmacro",
                                           "endcall",       "endset",   "endfilter",    "endwith", "endraw",
                                           "endgeneration", "endblock", "endautoescape"};

class Parser {
 public:
  explicit Parser(std::string_view source) : tokens_(Tokenize(source)), expressions_(&tokens_) {}

  Block ParseTemplate() {
    Block body = ParseUntil({});
    if (!tokens_.At(TokenKind::kEnd)) FailSyntax(tokens_.line(), "unexpected end of a block");
    return body;
  }

 private:
  using EndNames = std::initializer_list<std::string_view>;

  // What stands around the statement: whether `break` has a loop to leave.
  enum class Loop : uint8_t { kOutside, kInside };

  bool AtEndName(EndNames ends) const {
    return std::any_of(ends.begin(), ends.end(), [this](std::string_view end) { return tokens_.AtName(end); });
  }

  void ExpectBlockEnd() { tokens_.Expect(TokenKind::kBlockEnd, "end of statement block"); }

  // Text, prints and statements up to a tag named in `ends`, which becomes current; without `ends`, up to the end.
  Block ParseUntil(EndNames ends) {
    Block block;
    std::unique_ptr<OutputStatement> output;
    const auto add_output = [&](ExprPtr item) {
      if (output == nullptr) output = std::make_unique<OutputStatement>(item->line);
      output->items.push_back(std::move(item));
    };
    const auto flush = [&] {
      if (output != nullptr) block.push_back(std::move(output));
    };
    while (!tokens_.At(TokenKind::kEnd)) {
      if (tokens_.At(TokenKind::kData)) {
        const Token& data = tokens_.Next();
        add_output(std::make_unique<ConstExpr>(data.line, Value::String(data.text)));
      } else if (tokens_.At(TokenKind::kVariableBegin)) {
        tokens_.Next();
        add_output(expressions_.ParseTuple(/*with_condition=*/true));
        tokens_.Expect(TokenKind::kVariableEnd, "end of print statement");
      } else {
        flush();
        tokens_.Expect(TokenKind::kBlockBegin, "begin of statement block");
        if (AtEndName(ends)) return block;
        block.push_back(ParseStatement());
        ExpectBlockEnd();
      }
    }
    flush();
    if (ends.size() > 0) {
      FailSyntax(tokens_.line(),
                 fmt::format("Unexpected end of template. Jinja was looking for the following tags: {}.",
                             fmt::join(ends, " or ")));
    }
    return block;
  }

  // The body of a tag that is read up to its own end; a colon may end the tag, as in Python.
  Block ParseBody(EndNames ends) {
    tokens_.SkipOperator(":");
    ExpectBlockEnd();
    if (++depth_ > kMaxStatementDepth) {
      FailUnsupported(tokens_.line(), fmt::format("statements nested more than {} levels deep", kMaxStatementDepth));
    }
    Block body = ParseUntil(ends);
    --depth_;
    return body;
  }

  Block ParseBodyWithin(Loop loop, EndNames ends) {
    const Loop outer = std::exchange(loop_, loop);
    Block body = ParseBody(ends);
    loop_ = outer;
    return body;
  }

  Block ParseWholeBody(EndNames ends) {
    Block body = ParseBody(ends);
    tokens_.Next();
    return body;
  }

  std::unique_ptr<Statement> ParseStatement() {
    const Token& tag = tokens_.current();
    if (tag.kind != TokenKind::kName) FailSyntax(tag.line, "tag name expected");
    tokens_.Next();
    const int line = tag.line;
    if (tag.text == "set") return ParseSet(line);
    if (tag.text == "if") return ParseIf(line);
    if (tag.text == "for") return ParseFor(line);
    if (tag.text == "macro") return ParseMacro(line);
    if (tag.text == "call") return ParseCallBlock(line);
    if (tag.text == "generation") return ParseGeneration(line);
    if (tag.text == "filter") return ParseFilterBlock(line);
    if (tag.text == "with") return ParseWith(line);
    if (tag.text == "print") return ParsePrint(line);
    if (tag.text == "break") return ParseJump(StatementKind::kBreak, line);
    if (tag.text == "continue") return ParseJump(StatementKind::kContinue, line);
    if (std::find(std::begin(kInnerTags), std::end(kInnerTags), tag.text) != std::end(kInnerTags)) {
      FailSyntax(line, fmt::format("Encountered unknown tag '{}'.", tag.text));
    }
    const bool in_jinja =
        std::find(std::begin(kUnsupportedTags), std::end(kUnsupportedTags), tag.text) != std::end(kUnsupportedTags);
    FailUnsupported(line, fmt::format("{} '{}'", in_jinja ? "tag" : "unknown tag", tag.text));
  }

  std::unique_ptr<Statement> ParseSet(int line) {
    Target target = expressions_.ParseTarget(/*with_attributes=*/true);
    if (tokens_.SkipOperator("=")) {
      auto assign = std::make_unique<AssignStatement>(line);
      assign->target = std::move(target);
      assign->value = expressions_.ParseTuple(/*with_condition=*/true);
      return assign;
    }
    auto assign = std::make_unique<AssignBlockStatement>(line);
    assign->target = std::move(target);
    assign->filter = expressions_.ParseFilters(nullptr, /*first_without_pipe=*/false);
    assign->body = ParseWholeBody({"endset"});
    return assign;
  }

  std::unique_ptr<Statement> ParseIf(int line) {
    auto statement = std::make_unique<IfStatement>(line);
    while (true) {
      IfStatement::Branch branch;
      branch.test = expressions_.ParseTuple(/*with_condition=*/false);
      branch.body = ParseBody({"elif", "else", "endif"});
      statement->branches.push_back(std::move(branch));
      const Token& end = tokens_.Next();
      if (end.text == "elif") continue;
      if (end.text == "else") statement->otherwise = ParseWholeBody({"endif"});
      return statement;
    }
  }

  std::unique_ptr<Statement> ParseFor(int line) {
    auto loop = std::make_unique<ForStatement>(line);
    loop->target = expressions_.ParseTarget(/*with_attributes=*/false);
    tokens_.ExpectName("in");
    loop->iterated = expressions_.ParseTuple(/*with_condition=*/false);
    if (tokens_.SkipName("if")) loop->test = expressions_.ParseExpression();
    loop->recursive = tokens_.SkipName("recursive");
    loop->body = ParseBodyWithin(Loop::kInside, {"endfor", "else"});
    if (tokens_.Next().text == "else") {
      // After the loop: `break` there leaves the loop around, which a recursive loop, a function, does not have.
      const Loop outer = loop->recursive ? Loop::kOutside : loop_;
      loop->otherwise = ParseBodyWithin(outer, {"endfor"});
      tokens_.Next();
    }
    return loop;
  }

  void ParseSignature(MacroBody* macro) {
    tokens_.ExpectOperator("(");
    while (!tokens_.AtOperator(")")) {
      if (!macro->parameters.empty()) tokens_.ExpectOperator(",");
      const Target parameter = expressions_.ParseNameTarget();
      if (tokens_.SkipOperator("=")) {
        macro->defaults.push_back(expressions_.ParseExpression());
      } else if (!macro->defaults.empty()) {
        FailSyntax(parameter.line, "non-default argument follows default argument");
      }
      const auto& names = macro->parameters;
      if (std::find(names.begin(), names.end(), parameter.name) != names.end()) {
        FailSyntax(parameter.line, fmt::format("duplicate argument '{}'", parameter.name));
      }
      macro->parameters.push_back(parameter.name);
    }
    tokens_.ExpectOperator(")");
  }

  std::unique_ptr<Statement> ParseMacro(int line) {
    auto statement = std::make_unique<MacroStatement>(line);
    statement->macro.line = line;
    statement->macro.name = expressions_.ParseNameTarget().name;
    ParseSignature(&statement->macro);
    statement->macro.body = ParseBodyWithin(Loop::kOutside, {"endmacro"});
    tokens_.Next();
    return statement;
  }

  std::unique_ptr<Statement> ParseCallBlock(int line) {
    auto statement = std::make_unique<CallBlockStatement>(line);
    statement->macro.line = line;
    if (tokens_.AtOperator("(")) ParseSignature(&statement->macro);
    statement->call = expressions_.ParseExpression();
    if (statement->call->kind != ExprKind::kCall) FailSyntax(line, "expected call");
    statement->macro.body = ParseBodyWithin(Loop::kOutside, {"endcall"});
    tokens_.Next();
    return statement;
  }

  std::unique_ptr<Statement> ParseGeneration(int line) {
    auto statement = std::make_unique<CallBlockStatement>(line);
    statement->macro.line = line;
    statement->macro.body = ParseBodyWithin(Loop::kOutside, {"endgeneration"});
    tokens_.Next();
    return statement;
  }

  std::unique_ptr<Statement> ParseFilterBlock(int line) {
    auto statement = std::make_unique<FilterBlockStatement>(line);
    statement->filter = expressions_.ParseFilters(nullptr, /*first_without_pipe=*/true);
    statement->body = ParseWholeBody({"endfilter"});
    return statement;
  }

  std::unique_ptr<Statement> ParseWith(int line) {
    auto statement = std::make_unique<WithStatement>(line);
    while (!tokens_.At(TokenKind::kBlockEnd)) {
      if (!statement->variables.empty()) tokens_.ExpectOperator(",");
      Target target = expressions_.ParseTarget(/*with_attributes=*/false);
      tokens_.ExpectOperator("=");
      statement->variables.emplace_back(std::move(target), expressions_.ParseExpression());
    }
    statement->body = ParseWholeBody({"endwith"});
    return statement;
  }

  std::unique_ptr<Statement> ParsePrint(int line) {
    auto output = std::make_unique<OutputStatement>(line);
    while (!tokens_.At(TokenKind::kBlockEnd)) {
      if (!output->items.empty()) tokens_.ExpectOperator(",");
      output->items.push_back(expressions_.ParseExpression());
    }
    return output;
  }

  std::unique_ptr<Statement> ParseJump(StatementKind kind, int line) {
    if (loop_ == Loop::kOutside) {
      FailSyntax(line, fmt::format("'{}' outside a loop", kind == StatementKind::kBreak ? "break" : "continue"));
    }
    return std::make_unique<JumpStatement>(kind, line);
  }

  TokenStream tokens_;
  ExpressionParser expressions_;
  int depth_ = 0;
  Loop loop_ = Loop::kOutside;
};

}  // namespace

Block Parse(std::string_view source) { return Parser(source).ParseTemplate(); }

}  // namespace qnext::jinja
