#include "cli/toml_reader.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <set>
#include <utility>

namespace qnext {
namespace {

bool IsBareKeyByte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

// UTF-8 of a code point; empty for what is none.
std::string Utf8(uint32_t code) {
  const auto tail = [code](int shift) { return static_cast<char>(0x80 | ((code >> shift) & 0x3f)); };
  if (code < 0x80) return {static_cast<char>(code)};
  if (code < 0x800) return {static_cast<char>(0xc0 | code >> 6), tail(0)};
  if (code >= 0xd800 && code < 0xe000) return "";
  if (code < 0x10000) return {static_cast<char>(0xe0 | code >> 12), tail(6), tail(0)};
  if (code > 0x10ffff) return "";
  return {static_cast<char>(0xf0 | code >> 18), tail(12), tail(6), tail(0)};
}

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  Result<std::vector<TomlItem>> Run() {
    for (;;) {
      SkipBlank(/*lines=*/true);
      if (AtEnd()) return std::move(items_);
      QNEXT_RETURN_IF_ERROR(Peek() == '[' ? ReadHeading() : ReadItem());
      SkipBlank(/*lines=*/false);
      if (!AtEnd() && Peek() != '\n') return Error("nothing may follow on the same line");
    }
  }

 private:
  bool AtEnd() const { return at_ >= text_.size(); }
  char Peek() const { return text_[at_]; }
  char Take() {
    const char c = text_[at_++];
    if (c == '\n') ++line_;
    return c;
  }
  bool TakeIf(char c) {
    if (AtEnd() || Peek() != c) return false;
    Take();
    return true;
  }

  Status Error(const std::string& what) const { return ErrorAt(line_, what); }
  static Status ErrorAt(int64_t line, const std::string& what) {
    return InvalidArgument(fmt::format("line {}: {}", line, what));
  }

  // Spaces and a comment; with `lines`, line ends too.
  void SkipBlank(bool lines) {
    while (!AtEnd()) {
      const char c = Peek();
      if (c == '#') {
        while (!AtEnd() && Peek() != '\n') Take();
      } else if (c == ' ' || c == '\t' || c == '\r' || (lines && c == '\n')) {
        Take();
      } else {
        return;
      }
    }
  }

  std::string TakeBareKey() {
    const size_t begin = at_;
    while (!AtEnd() && IsBareKeyByte(Peek())) ++at_;
    return std::string(text_.substr(begin, at_ - begin));
  }

  Status ReadHeading() {
    Take();
    SkipBlank(/*lines=*/false);
    table_ = TakeBareKey();
    SkipBlank(/*lines=*/false);
    if (table_.empty() || !TakeIf(']')) return Error("a heading is the name of a command in brackets: [serve]");
    return {};
  }

  Status ReadItem() {
    TomlItem item{.table = table_, .key = TakeBareKey(), .values = {}, .is_list = false, .line = line_};
    if (item.key.empty()) return Error("expected the name of an option");
    SkipBlank(/*lines=*/false);
    if (!TakeIf('=')) return Error(fmt::format("{}: expected = and a value", item.key));
    SkipBlank(/*lines=*/false);
    item.is_list = TakeIf('[');
    Status status = item.is_list ? ReadList(item.values) : ReadValue(item.values);
    if (!status.ok()) return Named(item.key, status);
    if (!keys_.insert({item.table, item.key}).second) {
      return ErrorAt(item.line, item.key + ": is given twice");
    }
    items_.push_back(std::move(item));
    return {};
  }

  // "line 3: what" becomes "line 3: key: what".
  static Status Named(const std::string& key, const Status& status) {
    const size_t colon = status.message().find(": ") + 2;
    return InvalidArgument(status.message().substr(0, colon) + key + ": " + status.message().substr(colon));
  }

  Status ReadList(std::vector<std::string>& values) {
    const int64_t begin = line_;
    for (;;) {
      SkipBlank(/*lines=*/true);
      if (TakeIf(']')) return {};
      if (AtEnd()) return ErrorAt(begin, "the list has no end");
      QNEXT_RETURN_IF_ERROR(ReadValue(values));
      SkipBlank(/*lines=*/true);
      if (TakeIf(',')) continue;
      if (TakeIf(']')) return {};
      return AtEnd() ? ErrorAt(begin, "the list has no end") : Error("expected , or ] in the list");
    }
  }

  Status ReadValue(std::vector<std::string>& values) {
    if (!AtEnd() && (Peek() == '"' || Peek() == '\'')) return ReadString(values);
    const size_t begin = at_;
    while (!AtEnd() && (IsBareKeyByte(Peek()) || Peek() == '+' || Peek() == '.')) ++at_;
    const std::string word(text_.substr(begin, at_ - begin));
    // Which numbers are good is the option's business.
    const bool number =
        !word.empty() && (word[0] == '+' || word[0] == '-' || word[0] == '.' || (word[0] >= '0' && word[0] <= '9'));
    if (word != "true" && word != "false" && !number) {
      return Error("expected a text in quotes, a number, true, false or a list");
    }
    values.push_back(word);
    return {};
  }

  Status ReadString(std::vector<std::string>& values) {
    const char quote = Take();
    std::string value;
    for (;;) {
      if (AtEnd() || Peek() == '\n') return Error("the text has no closing quote on its line");
      const char c = Take();
      if (c == quote) break;
      if (c == '\\' && quote == '"') {
        QNEXT_RETURN_IF_ERROR(ReadEscape(value));
      } else if (static_cast<unsigned char>(c) < ' ' && c != '\t') {
        return Error(
            fmt::format("byte 0x{:02x} must be written as \\u{:04x}", static_cast<int>(c), static_cast<int>(c)));
      } else {
        value += c;
      }
    }
    if (value.empty() && TakeIf(quote)) return Error("texts of several lines are not read; write \\n");
    values.push_back(std::move(value));
    return {};
  }

  Status ReadEscape(std::string& value) {
    constexpr std::pair<char, char> kSimple[] = {{'b', '\b'}, {'t', '\t'}, {'n', '\n'}, {'f', '\f'},
                                                 {'r', '\r'}, {'"', '"'},  {'\\', '\\'}};
    const char kind = AtEnd() ? '\n' : Peek();
    for (const auto& [letter, meant] : kSimple) {
      if (kind != letter) continue;
      Take();
      value += meant;
      return {};
    }
    if (kind == 'u' || kind == 'U') {
      Take();
      const size_t digits = kind == 'u' ? 4 : 8;
      const std::string_view hex = text_.substr(at_, digits);
      uint32_t code = 0;
      const auto [end, error] = std::from_chars(hex.data(), hex.data() + hex.size(), code, 16);
      const std::string text = Utf8(code);
      if (hex.size() == digits && error == std::errc() && end == hex.data() + digits && !text.empty()) {
        at_ += digits;
        value += text;
        return {};
      }
    }
    return Error("\\ must be followed by one of b t n f r \" \\ or by u and four digits, U and eight");
  }

  std::string_view text_;
  size_t at_ = 0;
  int64_t line_ = 1;
  std::string table_;
  std::vector<TomlItem> items_;
  std::set<std::pair<std::string, std::string>> keys_;
};

}  // namespace

Result<std::vector<TomlItem>> ReadToml(std::string_view text) { return Reader(text).Run(); }

}  // namespace qnext
