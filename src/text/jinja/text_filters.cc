// Filters that make strings.
#include <fmt/format.h>

#include <string>
#include <string_view>

#include "text/jinja/arguments.h"
#include "text/jinja/ast.h"
#include "text/jinja/attribute.h"
#include "text/jinja/compare.h"
#include "text/jinja/error.h"
#include "text/jinja/filters.h"
#include "text/jinja/iterator.h"
#include "text/jinja/json_writer.h"
#include "text/jinja/markup.h"
#include "text/jinja/number.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"
#include "text/jinja/text_split.h"
#include "text/jinja/unicode.h"

namespace qnext::jinja::filters {
namespace {

Value CallOnText(Runtime& rt, const Value& input, std::string_view method, const Arguments& arguments) {
  return CallMethod(rt, SoftStr(rt, input), method, arguments);
}

void AppendUrlQuoted(std::string_view text, bool in_query, TextBuilder* out) {
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
                       c == '.' || c == '-' || c == '~' || (c == '/' && !in_query);
    if (plain) {
      out->Append(c);
    } else if (c == ' ' && in_query) {
      out->Append('+');
    } else {
      out->Append(fmt::format("%{:02X}", static_cast<unsigned char>(c)));
    }
  }
}

// Whether `c` begins a word for `title` (the characters after which a word begins).
bool IsWordBreak(char32_t c) { return IsSpace(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<'; }

}  // namespace

Value Capitalize(Runtime& rt, const Value& input, const Arguments& arguments) {
  return CallOnText(rt, input, "capitalize", arguments);
}

Value Center(Runtime& rt, const Value& input, const Arguments& arguments) {
  const Parameters given("center", arguments, {"width"});
  return CallOnText(rt, input, "center", {{given.Or(0, Value::Integer(80))}, {}});
}

Value EscapeFilter(Runtime& rt, const Value& input, const Arguments& arguments) {
  NeedNoArguments("escape", arguments);
  return Escape(rt, input);
}

Value ForceEscape(Runtime& rt, const Value& input, const Arguments& arguments) {
  NeedNoArguments("forceescape", arguments);
  return Value::String(EscapeHtml(rt, Str(rt, input)), /*markup=*/true);
}

Value FormatFilter(Runtime& rt, const Value& input, const Arguments& arguments) {
  if (!arguments.positional.empty() && !arguments.named.empty()) {
    Fail("can't handle positional and keyword arguments at the same time");
  }
  const Value format = SoftStr(rt, input);
  if (arguments.named.empty()) return PercentFormat(rt, format, rt.Tuple(arguments.positional));
  auto named = std::make_shared<DictObject>();
  for (const auto& [name, value] : arguments.named) named->Set(Value::String(name), value);
  return PercentFormat(rt, format, MakeDict(std::move(named)));
}

Value Indent(Runtime& rt, const Value& input, const Arguments& arguments) {
  const Parameters given("indent", arguments, {"width", "first", "blank"});
  std::string indention = "    ";
  if (const Value* width = given.Find(0); width != nullptr) {
    if (width->Is(Kind::kString)) {
      indention = std::string(width->Text());
    } else {
      TextBuilder spaces(rt);
      spaces.AppendRepeated(" ", NeedInt(*width, "indent"));
      indention = spaces.Take();
    }
  }
  if (input.Is(Kind::kUndefined)) FailUndefined(input);
  // The added newline gives even an empty text one line.
  const std::string text = std::string(NeedText(input, "indent")) + "\n";
  const bool blank = given.FlagOr(2, false);
  TextBuilder out(rt);
  if (given.FlagOr(1, false)) out.Append(indention);
  bool first = true;
  for (const std::string_view line : SplitLines(rt, text, /*keep_ends=*/false)) {
    if (!first) {
      out.Append("\n");
      if (blank || !line.empty()) out.Append(indention);
    }
    first = false;
    out.Append(line);
  }
  return Value::String(out.Take(), input.IsMarkup());
}

Value Lower(Runtime& rt, const Value& input, const Arguments& arguments) {
  return CallOnText(rt, input, "lower", arguments);
}

Value Replace(Runtime& rt, const Value& input, const Arguments& arguments) {
  const Parameters given("replace", arguments, {"old", "new", "count"}, 2);
  const Value* count = given.Find(2);
  const Int most = count == nullptr || count->Is(Kind::kNone) ? -1 : NeedInt(*count, "replace");
  return Value::String(ReplaceText(rt, Str(rt, input), Str(rt, given[0]), Str(rt, given[1]), most));
}

Value Safe(Runtime& rt, const Value& input, const Arguments& arguments) {
  NeedNoArguments("safe", arguments);
  return input.IsMarkup() ? input : Value::String(Str(rt, input), /*markup=*/true);
}

Value String(Runtime& rt, const Value& input, const Arguments& arguments) {
  NeedNoArguments("string", arguments);
  return SoftStr(rt, input);
}

Value Title(Runtime& rt, const Value& input, const Arguments& arguments) {
  NeedNoArguments("title", arguments);
  const Value text_value = SoftStr(rt, input);
  const std::string_view text = text_value.Text();
  TextBuilder out(rt);
  for (size_t at = 0; at < text.size();) {
    // A run of breaks or of other characters; its first character becomes upper case, the rest lower case.
    const bool breaks = IsWordBreak(DecodeAt(text, at).value);
    const size_t head = DecodeAt(text, at).size;
    size_t end = at + head;
    while (end < text.size() && IsWordBreak(DecodeAt(text, end).value) == breaks) end += DecodeAt(text, end).size;
    out.Append(jinja::Upper(text.substr(at, head)));
    out.Append(jinja::Lower(text.substr(at + head, end - at - head)));
    at = end;
  }
  return Value::String(out.Take());
}

Value ToJson(Runtime& rt, const Value& input, const Arguments& arguments) {
  const Parameters given("tojson", arguments, {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.ensure_ascii = given.FlagOr(0, false);
  style.sort_keys = given.FlagOr(3, false);
  if (const Value* indent = given.Find(1); indent != nullptr && !indent->Is(Kind::kNone)) {
    style.pretty = true;
    style.item_separator.assign(1, ',');
    if (indent->Is(Kind::kString)) {
      style.indent = std::string(indent->Text());
    } else {
      TextBuilder spaces(rt);
      spaces.AppendRepeated(" ", NeedInt(*indent, "tojson"));
      style.indent = spaces.Take();
    }
  }
  if (const Value* separators = given.Find(2); separators != nullptr && !separators->Is(Kind::kNone)) {
    const std::vector<Value> pair = ToVector(rt, *separators);
    if (pair.size() != 2) Fail("tojson: separators must be two strings");
    style.item_separator = std::string(NeedText(pair[0], "tojson"));
    style.key_separator = std::string(NeedText(pair[1], "tojson"));
  }
  return Value::String(WriteJson(rt, input, style));
}

Value Trim(Runtime& rt, const Value& input, const Arguments& arguments) {
  const Parameters given("trim", arguments, {"chars"});
  return CallOnText(rt, input, "strip", {{given.Or(0, Value::None())}, {}});
}

Value Truncate(Runtime& rt, const Value& input, const Arguments& arguments) {
  const Parameters given("truncate", arguments, {"length", "killwords", "end", "leeway"});
  const Int length = given.IntOr(0, 255);
  const Value end = given.Or(2, Value::String("..."));
  const Value* leeway_value = given.Find(3);
  const Int leeway = leeway_value == nullptr || leeway_value->Is(Kind::kNone) ? 5 : NeedInt(*leeway_value, "truncate");
  const Int end_length = LengthOf(end);
  const Int size = LengthOf(input);
  if (end_length < 0 || size < 0) Fail("truncate: expected strings");
  if (length < end_length) Fail("truncate: the length is shorter than the end");
  if (leeway < 0) Fail("truncate: expected leeway >= 0");
  if (size <= ClampToInt64(length) + ClampToInt64(leeway)) return input;
  const Value none = Value::None();
  Value kept = GetSlice(rt, input, none, Value::Integer(length - end_length), none);
  if (!given.FlagOr(1, false)) {
    // Back to the last blank, so that no word is cut.
    NeedText(kept, "truncate");
    kept = CallMethod(rt, kept, "rsplit", {{Value::String(" "), Value::Integer(1)}, {}}).Items()[0];
  }
  return ApplyBinary(rt, BinaryOp::kAdd, kept, end);
}

Value Upper(Runtime& rt, const Value& input, const Arguments& arguments) {
  return CallOnText(rt, input, "upper", arguments);
}

Value UrlEncode(Runtime& rt, const Value& input, const Arguments& arguments) {
  NeedNoArguments("urlencode", arguments);
  TextBuilder out(rt);
  if (input.Is(Kind::kString) || !IsIterable(input)) {
    AppendUrlQuoted(Str(rt, input), /*in_query=*/false, &out);
    return Value::String(out.Take());
  }
  const Value pairs = input.Is(Kind::kDict) ? CallMethod(rt, input, "items", {}) : input;
  const std::shared_ptr<IteratorObject> iterator = Iterate(rt, pairs);
  Value pair;
  bool first = true;
  while (iterator->Next(rt, &pair)) {
    const std::vector<Value> items = ToVector(rt, pair);
    if (items.size() != 2) Fail("urlencode: expected pairs of key and value");
    if (!first) out.Append('&');
    first = false;
    AppendUrlQuoted(Str(rt, items[0]), /*in_query=*/true, &out);
    out.Append('=');
    AppendUrlQuoted(Str(rt, items[1]), /*in_query=*/true, &out);
  }
  return Value::String(out.Take());
}

Value WordCount(Runtime& rt, const Value& input, const Arguments& arguments) {
  NeedNoArguments("wordcount", arguments);
  const Value text_value = SoftStr(rt, input);
  const std::string_view text = text_value.Text();
  Int words = 0;
  bool in_word = false;
  for (size_t at = 0; at < text.size();) {
    const Decoded c = DecodeAt(text, at);
    const bool word = IsAlnum(c.value) || c.value == '_';
    if (word && !in_word) ++words;
    in_word = word;
    at += c.size;
  }
  return Value::Integer(words);
}

Value XmlAttributes(Runtime& rt, const Value& input, const Arguments& arguments) {
  const Parameters given("xmlattr", arguments, {"autospace"});
  if (input.Is(Kind::kUndefined)) FailUndefined(input);
  if (!input.Is(Kind::kDict)) Fail(fmt::format("'{}' object has no attribute 'items'", TypeName(input)));
  TextBuilder out(rt);
  bool first = true;
  for (const auto& [key, value] : input.As<DictObject>().entries()) {
    if (value.Is(Kind::kNone) || value.Is(Kind::kUndefined)) continue;
    if (NeedText(key, "xmlattr").find_first_of(" \t\n\r\f\v/>=") != std::string_view::npos) {
      Fail(fmt::format("Invalid character in attribute name: {}", ReprText(key.Text())));
    }
    if (!first || given.FlagOr(0, true)) out.Append(' ');
    first = false;
    out.Append(Escape(rt, key).Text());
    out.Append("=\"");
    out.Append(Escape(rt, value).Text());
    out.Append('"');
  }
  return Value::String(out.Take());
}

}  // namespace qnext::jinja::filters
