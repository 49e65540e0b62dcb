#include "text/jinja/lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "text/jinja/error.h"
#include "text/jinja/number.h"
#include "text/jinja/string_literal.h"
#include "text/jinja/unicode.h"

namespace qnext::jinja {
namespace {

// Longest spelling first.
constexpr std::array<std::string_view, 26> kOperators = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                                         "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                                         ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};

// All line breaks become "\n"; one at the very end is dropped (keep_trailing_newline is off).
std::string NormalizeNewlines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
      out.push_back('\n');
    } else {
      out.push_back(source[i]);
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

bool IsDigitChar(char c) { return c >= '0' && c <= '9'; }

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(NormalizeNewlines(source)), text_(source_) {}

  std::vector<Token> Run() {
    while (at_ < text_.size()) LexRoot();
    Push(TokenKind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  bool Matches(std::string_view what) const { return text_.substr(at_).starts_with(what); }
  bool Matches(size_t at, std::string_view what) const {
    return at <= text_.size() && text_.substr(at).starts_with(what);
  }

  size_t SkipSpace(size_t at) const {
    return text_.size() - StripLeft(text_.substr(std::min(at, text_.size()))).size();
  }

  // Moves to `end`, counting lines.
  void Advance(size_t end) {
    line_ += static_cast<int>(std::count(text_.begin() + static_cast<std::ptrdiff_t>(at_),
                                         text_.begin() + static_cast<std::ptrdiff_t>(end), '\n'));
    line_starting_ = end > at_ ? text_[end - 1] == '\n' : line_starting_;
    at_ = end;
  }

  void Push(TokenKind kind, std::string text, Value number = {}) {
    tokens_.push_back({kind, line_, std::move(text), std::move(number)});
  }

  // The text before a tag, less what the tag's sign and lstrip_blocks take away.
  void PushData(std::string_view data, char sign, bool is_variable) {
    if (sign == '-') {
      data = StripRight(data);
    } else if (sign != '+' && !is_variable) {
      const size_t newline = data.rfind('\n');
      const size_t line_begin = newline == std::string_view::npos ? 0 : newline + 1;
      if (line_begin > 0 || line_starting_) {
        const std::string_view indent = data.substr(line_begin);
        if (!indent.empty() && StripLeft(indent).empty()) data = data.substr(0, line_begin);
      }
    }
    if (!data.empty()) Push(TokenKind::kData, std::string(data));
  }

  // The length of the tag's beginning with its sign, and the sign.
  std::pair<size_t, char> SignAfter(size_t at) const {
    if (at < text_.size() && (text_[at] == '-' || text_[at] == '+')) return {at + 1, text_[at]};
    return {at, '\0'};
  }

  void LexRoot() {
    size_t open = at_;
    while (true) {
      open = text_.find('{', open);
      if (open == std::string_view::npos) {
        Push(TokenKind::kData, std::string(text_.substr(at_)));
        Advance(text_.size());
        return;
      }
      if (Matches(open, "{{") || Matches(open, "{%") || Matches(open, "{#")) break;
      ++open;
    }
    const char tag = text_[open + 1];
    const auto [inside, sign] = SignAfter(open + 2);
    PushData(text_.substr(at_, open - at_), sign, /*is_variable=*/tag == '{');
    if (tag == '{') {
      Advance(inside);
      Push(TokenKind::kVariableBegin, "");
      LexTag(/*is_block=*/false);
    } else if (tag == '#') {
      Advance(inside);
      LexComment();
    } else if (const std::optional<size_t> raw = RawBeginEnd(inside); raw.has_value()) {
      Advance(*raw);
      LexRaw();
    } else {
      Advance(open);
      Push(TokenKind::kBlockBegin, "");
      Advance(inside);
      LexTag(/*is_block=*/true);
    }
  }

  // Where the text after a comment's, block's or endraw's end begins, if such an end is at `at`: "+%}" keeps the
  // newline after it, "-%}" takes all space, "%}" one newline.
  std::optional<size_t> TagEnd(size_t at, std::string_view end) const {
    if (at < text_.size() && text_[at] == '+' && Matches(at + 1, end)) return at + 1 + end.size();
    if (at < text_.size() && text_[at] == '-' && Matches(at + 1, end)) return SkipSpace(at + 1 + end.size());
    if (!Matches(at, end)) return std::nullopt;
    const size_t after = at + end.size();
    return Matches(after, "\n") ? after + 1 : after;
  }

  void LexComment() {
    if (at_ == text_.size()) return;  // a template may end right after "{#", or "{% raw %}"
    for (size_t at = at_; at < text_.size(); ++at) {
      if (const std::optional<size_t> end = TagEnd(at, "#}"); end.has_value()) {
        Advance(*end);
        return;
      }
    }
    FailSyntax(line_, "Missing end of comment tag");
  }

  std::optional<size_t> RawBeginEnd(size_t inside) const {
    size_t at = SkipSpace(inside);
    if (!Matches(at, "raw")) return std::nullopt;
    at = SkipSpace(at + 3);
    if (Matches(at, "-%}")) return SkipSpace(at + 3);
    if (Matches(at, "%}")) return at + 2;
    return std::nullopt;
  }

  void LexRaw() {
    if (at_ == text_.size()) return;
    for (size_t open = text_.find("{%", at_); open != std::string_view::npos; open = text_.find("{%", open + 1)) {
      const auto [inside, sign] = SignAfter(open + 2);
      size_t at = SkipSpace(inside);
      if (!Matches(at, "endraw")) continue;
      at = SkipSpace(at + 6);
      const std::optional<size_t> end = TagEnd(at, "%}");
      if (!end.has_value()) continue;
      PushData(text_.substr(at_, open - at_), sign, /*is_variable=*/false);
      Advance(*end);
      return;
    }
    FailSyntax(line_, "Missing end of raw directive");
  }

  // Tokens up to and including the end of the tag.
  void LexTag(bool is_block) {
    std::string closers;  // brackets still open; a tag cannot end within them
    while (at_ < text_.size()) {
      if (closers.empty()) {
        const std::optional<size_t> end = is_block ? TagEnd(at_, "%}") : VariableEnd();
        if (end.has_value()) {
          Push(is_block ? TokenKind::kBlockEnd : TokenKind::kVariableEnd, "");
          Advance(*end);
          return;
        }
      }
      const size_t after_space = SkipSpace(at_);
      if (after_space > at_) {
        Advance(after_space);
        continue;
      }
      if (LexNumber() || LexName() || LexString()) continue;
      LexOperator(&closers);
    }
  }

  std::optional<size_t> VariableEnd() const {
    if (Matches("-}}")) return SkipSpace(at_ + 3);
    if (Matches("}}")) return at_ + 2;
    return std::nullopt;
  }

  // (\d+_)*\d+ from `at`: its end, or `at` when there is no digit.
  size_t DigitsEnd(size_t at) const {
    size_t end = at;
    while (end < text_.size() &&
           (IsDigitChar(text_[end]) || (text_[end] == '_' && end > at && IsDigitChar(text_[end - 1]) &&
                                        end + 1 < text_.size() && IsDigitChar(text_[end + 1])))) {
      ++end;
    }
    return end;
  }

  bool LexNumber() {
    if (!IsDigitChar(text_[at_])) return false;
    const size_t float_end = FloatEnd();
    if (float_end > at_) {
      std::string digits(text_.substr(at_, float_end - at_));
      std::erase(digits, '_');
      Push(TokenKind::kFloat, digits, Value::Float(ParseFloat(digits).value_or(0)));
      Advance(float_end);
      return true;
    }
    const size_t end = IntegerEnd();
    const std::string digits(text_.substr(at_, end - at_));
    Push(TokenKind::kInteger, digits, Value::Integer(ParseInt(digits, 0).value_or(0)));
    Advance(end);
    return true;
  }

  size_t FloatEnd() const {
    if (at_ > 0 && text_[at_ - 1] == '.') return at_;
    const size_t whole = DigitsEnd(at_);
    size_t end = whole;
    if (end < text_.size() && text_[end] == '.') {
      const size_t fraction = DigitsEnd(end + 1);
      if (fraction > end + 1) end = fraction;
    }
    if (end < text_.size() && (text_[end] == 'e' || text_[end] == 'E')) {
      size_t exponent = end + 1;
      if (exponent < text_.size() && (text_[exponent] == '+' || text_[exponent] == '-')) ++exponent;
      const size_t exponent_end = DigitsEnd(exponent);
      if (exponent_end > exponent) end = exponent_end;
    }
    return end > whole ? end : at_;
  }

  size_t IntegerEnd() const {
    if (text_[at_] == '0' && at_ + 1 < text_.size()) {
      const char letter = static_cast<char>(text_[at_ + 1] | 0x20);
      const int base = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 0;
      if (base != 0) {
        size_t end = at_ + 2;
        while (end < text_.size() && (IsDigitOf(text_[end], base) || (text_[end] == '_' && end + 1 < text_.size() &&
                                                                      IsDigitOf(text_[end + 1], base)))) {
          ++end;
        }
        if (end > at_ + 2) return end;
      }
    }
    if (text_[at_] != '0') return DigitsEnd(at_);
    size_t end = at_ + 1;  // a number that begins with zero is made of zeros
    while (end < text_.size() &&
           (text_[end] == '0' || (text_[end] == '_' && end + 1 < text_.size() && text_[end + 1] == '0'))) {
      ++end;
    }
    return end;
  }

  static bool IsDigitOf(char c, int base) {
    const char lower = static_cast<char>(c | 0x20);
    const int digit = IsDigitChar(c) ? c - '0' : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : 16;
    return digit < base;
  }

  bool LexName() {
    size_t end = at_;
    while (end < text_.size()) {
      const Decoded c = DecodeAt(text_, end);
      if (!(end == at_ ? IsIdentifierStart(c.value) : IsIdentifierPart(c.value))) break;
      end += c.size;
    }
    if (end == at_) return false;
    Push(TokenKind::kName, std::string(text_.substr(at_, end - at_)));
    Advance(end);
    return true;
  }

  bool LexString() {
    const char quote = text_[at_];
    if (quote != '\'' && quote != '"') return false;
    size_t end = at_ + 1;
    while (end < text_.size() && text_[end] != quote) end += text_[end] == '\\' ? 2 : 1;
    if (end >= text_.size()) return false;
    Push(TokenKind::kString, UnescapeLiteral(text_.substr(at_ + 1, end - at_ - 1), line_));
    Advance(end + 1);
    return true;
  }

  void LexOperator(std::string* closers) {
    const auto* found =
        std::find_if(kOperators.begin(), kOperators.end(), [this](std::string_view op) { return Matches(op); });
    if (found == kOperators.end()) {
      FailSyntax(line_, fmt::format("unexpected char '{}'", text_.substr(at_, DecodeAt(text_, at_).size)));
    }
    const std::string_view op = *found;
    if (op == "{" || op == "(" || op == "[") {
      closers->push_back(op == "{" ? '}' : op == "(" ? ')' : ']');
    } else if (op == "}" || op == ")" || op == "]") {
      if (closers->empty()) FailSyntax(line_, fmt::format("unexpected '{}'", op));
      if (closers->back() != op[0]) {
        FailSyntax(line_, fmt::format("unexpected '{}', expected '{}'", op, closers->back()));
      }
      closers->pop_back();
    }
    Push(TokenKind::kOperator, std::string(op));
    Advance(at_ + op.size());
  }

  const std::string source_;
  const std::string_view text_;
  size_t at_ = 0;
  int line_ = 1;
  bool line_starting_ = true;  // what was read last ended with a newline
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> Tokenize(std::string_view source) { return Lexer(source).Run(); }

std::string Describe(const Token& token) {
  switch (token.kind) {
    case TokenKind::kData:
      return "template data / text";
    case TokenKind::kVariableBegin:
      return "begin of print statement";
    case TokenKind::kVariableEnd:
      return "end of print statement";
    case TokenKind::kBlockBegin:
      return "begin of statement block";
    case TokenKind::kBlockEnd:
      return "end of statement block";
    case TokenKind::kString:
      return "string";
    case TokenKind::kInteger:
      return "integer";
    case TokenKind::kFloat:
      return "float";
    case TokenKind::kEnd:
      return "end of template";
    case TokenKind::kName:
    case TokenKind::kOperator:
      break;
  }
  return token.text;
}

}  // namespace qnext::jinja
