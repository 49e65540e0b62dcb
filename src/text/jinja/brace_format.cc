// "...".format(...).
#include <fmt/format.h>

#include <optional>
#include <string>
#include <string_view>

#include "text/jinja/attribute.h"
#include "text/jinja/error.h"
#include "text/jinja/format_spec.h"
#include "text/jinja/markup.h"
#include "text/jinja/number.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"
#include "text/jinja/unicode.h"

namespace qnext::jinja {
namespace {

// A field's number, if its name is one.
std::optional<Int> FieldNumber(std::string_view name) {
  if (name.empty() || name.find_first_not_of("0123456789") != std::string_view::npos) return std::nullopt;
  if (name.size() > 18) Fail("Too many decimal digits in format string");
  return ParseInt(name, 10);
}

class BraceFormatter {
 public:
  BraceFormatter(Runtime& rt, bool markup, const std::vector<Value>& positional, const DictObject& named)
      : rt_(rt), markup_(markup), positional_(positional), named_(named) {}

  // `levels`: how deep fields may still stand within format specifications.
  std::string Run(std::string_view text, int levels) {
    if (levels == 0) Fail("Max string recursion exceeded");
    TextBuilder out(rt_);
    for (size_t at = 0; at < text.size();) {
      const char c = text[at];
      if (c != '{' && c != '}') {
        const size_t next = std::min(text.find_first_of("{}", at), text.size());
        out.Append(text.substr(at, next - at));
        at = next;
        continue;
      }
      ++at;
      if (at < text.size() && text[at] == c) {
        out.Append(c);
        ++at;
      } else if (c == '}') {
        Fail("Single '}' encountered in format string");
      } else {
        const size_t end = FieldEnd(text, at);
        out.Append(Field(text.substr(at, end - at), levels));
        at = end + 1;
      }
    }
    return out.Take();
  }

 private:
  static size_t FieldEnd(std::string_view text, size_t at) {
    if (at >= text.size()) Fail("Single '{' encountered in format string");
    for (int open = 1; at < text.size(); ++at) {
      if (text[at] == '{') ++open;
      if (text[at] == '}' && --open == 0) return at;
    }
    Fail("expected '}' before end of string");
  }

  std::string Field(std::string_view field, int levels) {
    size_t name_end = 0;
    bool in_brackets = false;
    for (; name_end < field.size(); ++name_end) {
      const char c = field[name_end];
      if (c == '[') in_brackets = true;
      if (c == ']') in_brackets = false;
      if (c == '{') Fail("unexpected '{' in field name");
      if (!in_brackets && (c == '!' || c == ':')) break;
    }
    std::string_view rest = field.substr(name_end);
    char conversion = '\0';
    if (rest.starts_with('!')) {
      if (rest.size() < 2) Fail("end of string while looking for conversion specifier");
      conversion = rest[1];
      rest.remove_prefix(2);
      if (!rest.empty() && rest[0] != ':') Fail("expected ':' after conversion specifier");
    }
    if (!rest.empty()) rest.remove_prefix(1);
    Value value = Lookup(field.substr(0, name_end));
    if (conversion == 's') {
      value = Value::String(Str(rt_, value));
    } else if (conversion == 'r') {
      value = Value::String(Repr(rt_, value));
    } else if (conversion == 'a') {
      FailUnsupported(0, "the !a conversion");
    } else if (conversion != '\0') {
      Fail(fmt::format("Unknown conversion specifier {}", conversion));
    }
    return FormatField(value, Run(rest, levels - 1));
  }

  std::string FormatField(const Value& value, const std::string& spec) {
    if (!markup_) return Format(rt_, value, spec);
    if (!value.IsMarkup()) return EscapeHtml(rt_, Format(rt_, value, spec));
    if (!spec.empty()) Fail("Unsupported format specification for Markup.");
    return std::string(value.Text());
  }

  // "0.name[key]": the argument, then attributes and items of it.
  Value Lookup(std::string_view name) {
    const size_t first_end = std::min(name.find_first_of(".["), name.size());
    Value value = Argument(name.substr(0, first_end), /*may_count=*/name.empty());
    for (size_t at = first_end; at < name.size();) {
      if (name[at] == '.') {
        const size_t end = std::min(name.find_first_of(".[", at + 1), name.size());
        if (end == at + 1) Fail("Empty attribute in format string");
        value = GetAttribute(rt_, value, std::string(name.substr(at + 1, end - at - 1)));
        at = end;
      } else if (name[at] == '[') {
        const size_t end = name.find(']', at);
        if (end == std::string_view::npos) Fail("Missing ']' in format string");
        const std::string_view key = name.substr(at + 1, end - at - 1);
        if (key.empty()) Fail("Empty attribute in format string");
        const std::optional<Int> index = FieldNumber(key);
        value = GetItem(rt_, value, index.has_value() ? Value::Integer(*index) : Value::String(std::string(key)));
        at = end + 1;
      } else {
        Fail("Only '.' or '[' may follow ']' in format field specifier");
      }
    }
    return value;
  }

  // `may_count`: the whole field is "{}", which takes the next argument.
  Value Argument(std::string_view name, bool may_count) {
    std::optional<Int> number = FieldNumber(name);
    if (may_count) {
      if (numbering_ == Numbering::kManual) {
        Fail("cannot switch from manual field specification to automatic field numbering");
      }
      numbering_ = Numbering::kAutomatic;
      number = next_++;
    } else if (number.has_value()) {
      if (numbering_ == Numbering::kAutomatic) {
        Fail("cannot switch from manual field specification to automatic field numbering");
      }
      numbering_ = Numbering::kManual;
    }
    if (!number.has_value()) {
      const Value* found = named_.Find(name);
      if (found == nullptr) Fail(fmt::format("KeyError: {}", ReprText(name)));
      return *found;
    }
    if (*number >= static_cast<Int>(positional_.size()))
      Fail("Replacement index out of range for positional args tuple");
    return positional_[static_cast<size_t>(*number)];
  }

  enum class Numbering : uint8_t { kUnknown, kAutomatic, kManual };

  Runtime& rt_;
  const bool markup_;
  const std::vector<Value>& positional_;
  const DictObject& named_;
  Numbering numbering_ = Numbering::kUnknown;
  Int next_ = 0;
};

}  // namespace

Value BraceFormat(Runtime& rt, const Value& format, const std::vector<Value>& positional, const DictObject& named) {
  BraceFormatter formatter(rt, format.IsMarkup(), positional, named);
  return Value::String(formatter.Run(format.Text(), /*levels=*/3), format.IsMarkup());
}

}  // namespace qnext::jinja
