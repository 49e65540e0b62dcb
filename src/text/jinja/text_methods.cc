// str's methods: searching, splitting, trimming, padding.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>

#include "text/jinja/arguments.h"
#include "text/jinja/attribute.h"
#include "text/jinja/compare.h"
#include "text/jinja/error.h"
#include "text/jinja/iterator.h"
#include "text/jinja/markup.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"
#include "text/jinja/text_predicates.h"
#include "text/jinja/text_split.h"
#include "text/jinja/unicode.h"

namespace qnext::jinja {
namespace {

// A result that is markup when `self` is.
Value Like(Runtime& rt, const Value& self, std::string text) { return rt.String(std::move(text), self.IsMarkup()); }
Value Like(Runtime& rt, const Value& self, std::string_view text) { return Like(rt, self, std::string(text)); }

template <std::string (*kMap)(std::string_view)>
Value MapCase(Runtime& rt, const Value& self, const Arguments& arguments) {
  NeedNoArguments("str method", arguments);
  return Like(rt, self, kMap(self.Text()));
}

template <bool (*kPredicate)(std::string_view)>
Value Check(Runtime&, const Value& self, const Arguments& arguments) {
  NeedNoArguments("str method", arguments);
  return Value::Bool(kPredicate(self.Text()));
}

template <bool kLeft, bool kRight>
Value Strip(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters given("strip", arguments, {""});
  const Value* chars = given.Find(0);
  std::string_view text = self.Text();
  if (chars == nullptr || chars->Is(Kind::kNone)) {
    if (kLeft) text = StripLeft(text);
    if (kRight) text = StripRight(text);
  } else {
    text = StripChars(text, NeedText(*chars, "strip"), kLeft, kRight);
  }
  return Like(rt, self, text);
}

Value PiecesOf(Runtime& rt, const Value& self, const std::vector<std::string_view>& pieces) {
  std::vector<Value> items;
  items.reserve(pieces.size());
  for (const std::string_view piece : pieces) items.push_back(Like(rt, self, piece));
  return rt.List(std::move(items));
}

template <bool kFromRight>
Value Split(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters given("split", arguments, {"sep", "maxsplit"});
  const Int most = given.IntOr(1, -1);
  const Value* separator = given.Find(0);
  if (separator == nullptr || separator->Is(Kind::kNone)) {
    return PiecesOf(rt, self, SplitAtSpace(rt, self.Text(), most, kFromRight));
  }
  const std::string_view text = NeedText(*separator, "split");
  if (text.empty()) Fail("empty separator");
  return PiecesOf(rt, self, SplitAt(rt, self.Text(), text, most, kFromRight));
}

Value SplitLinesMethod(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters given("splitlines", arguments, {"keepends"});
  return PiecesOf(rt, self, SplitLines(rt, self.Text(), given.IntOr(0, 0) != 0));
}

template <bool kFromRight>
Value Partition(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters given("partition", arguments, {""}, 1);
  const std::string_view text = self.Text();
  const std::string_view separator = NeedText(given[0], "partition");
  if (separator.empty()) Fail("empty separator");
  const size_t at = kFromRight ? FindLastBytes(text, separator) : FindBytes(text, separator, 0);
  if (at == std::string_view::npos) {
    Value whole = Like(rt, self, text);
    Value nothing = Like(rt, self, std::string());
    return kFromRight ? rt.Tuple({nothing, nothing, whole}) : rt.Tuple({whole, nothing, nothing});
  }
  // Python hands back the separator it was given.
  return rt.Tuple({Like(rt, self, text.substr(0, at)), self.IsMarkup() ? Like(rt, self, separator) : given[0],
                   Like(rt, self, text.substr(at + separator.size()))});
}

// The part of a text that optional start and end arguments (parameters 1 and 2) select, in code points as in slices.
struct Window {
  bool valid = true;  // start lies within the text
  std::string_view text;
  Int start = 0;  // of the window, in code points
};

Window WindowOf(const Value& self, const Parameters& given) {
  const Int size = LengthOf(self);
  const auto bound = [&](size_t parameter, Int otherwise) {
    const Value* value = given.Find(parameter);
    if (value == nullptr || value->Is(Kind::kNone)) return otherwise;
    const Int index = NeedInt(*value, "slice index");
    return index < 0 ? std::max<Int>(index + size, 0) : index;
  };
  Window window;
  window.start = bound(1, 0);
  const Int end = std::min(bound(2, size), size);
  window.valid = window.start <= size && window.start <= end;
  if (!window.valid) return window;
  const std::string_view text = self.Text();
  const size_t from = OffsetOfCodePoint(text, static_cast<size_t>(window.start));
  const size_t to = end == size ? text.size() : OffsetOfCodePoint(text, static_cast<size_t>(end));
  window.text = text.substr(from, to - from);
  return window;
}

template <bool kLast, bool kMustExist>
Value Find(Runtime&, const Value& self, const Arguments& arguments) {
  const Parameters given("find", arguments, {"", "", ""}, 1);
  const std::string_view pattern = NeedText(given[0], "find");
  const Window window = WindowOf(self, given);
  size_t at = std::string_view::npos;
  if (window.valid) at = kLast ? FindLastBytes(window.text, pattern) : FindBytes(window.text, pattern, 0);
  if (at != std::string_view::npos) {
    return Value::Integer(window.start + static_cast<Int>(CountCodePoints(window.text.substr(0, at))));
  }
  if (kMustExist) Fail("substring not found");
  return Value::Integer(-1);
}

Value Count(Runtime&, const Value& self, const Arguments& arguments) {
  const Parameters given("count", arguments, {"", "", ""}, 1);
  const std::string_view pattern = NeedText(given[0], "count");
  const Window window = WindowOf(self, given);
  if (!window.valid) return Value::Integer(0);
  if (pattern.empty()) return Value::Integer(static_cast<Int>(CountCodePoints(window.text)) + 1);
  Int count = 0;
  for (size_t at = FindBytes(window.text, pattern, 0); at != std::string_view::npos;
       at = FindBytes(window.text, pattern, at + pattern.size())) {
    ++count;
  }
  return Value::Integer(count);
}

template <bool kAtEnd>
Value HasAffix(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters given(kAtEnd ? "endswith" : "startswith", arguments, {"", "", ""}, 1);
  const Window window = WindowOf(self, given);
  const auto matches = [&](const Value& affix) {
    const std::string_view text = NeedText(affix, kAtEnd ? "endswith" : "startswith");
    return window.valid && (kAtEnd ? window.text.ends_with(text) : window.text.starts_with(text));
  };
  if (!given[0].Is(Kind::kTuple)) return Value::Bool(matches(given[0]));
  for (const Value& affix : given[0].Items()) {
    rt.Step();
    if (matches(affix)) return Value::Bool(true);
  }
  return Value::Bool(false);
}

template <bool kAtEnd>
Value RemoveAffix(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters given("removeprefix", arguments, {""}, 1);
  std::string_view text = self.Text();
  const std::string_view affix = NeedText(given[0], "removeprefix");
  if (kAtEnd && text.ends_with(affix)) text.remove_suffix(affix.size());
  if (!kAtEnd && text.starts_with(affix)) text.remove_prefix(affix.size());
  return Like(rt, self, text);
}

Value ReplaceMethod(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters given("replace", arguments, {"", "", ""}, 2);
  const std::string_view from = NeedText(given[0], "replace");
  NeedText(given[1], "replace");
  return Value::String(ReplaceText(rt, self.Text(), from, TextFor(rt, self, given[1]), given.IntOr(2, -1)),
                       self.IsMarkup());
}

Value Join(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters given("join", arguments, {""}, 1);
  TextBuilder out(rt);
  bool first = true;
  const std::shared_ptr<IteratorObject> items = Iterate(rt, given[0]);
  Value item;
  while (items->Next(rt, &item)) {
    if (!first) out.Append(self.Text());
    first = false;
    if (self.IsMarkup()) {
      out.Append(Escape(rt, item).Text());
    } else {
      out.Append(NeedText(item, "sequence item"));
    }
  }
  return Value::String(out.Take(), self.IsMarkup());
}

enum class Side : uint8_t { kLeft, kRight, kBoth };

// Where the text goes: kLeft is ljust.
template <Side kSide>
Value Justify(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters given("center", arguments, {"", ""}, 1);
  const Int width = NeedInt(given[0], "width");
  std::string fill = " ";
  if (const Value* character = given.Find(1); character != nullptr) {
    NeedText(*character, "fill character");
    fill = TextFor(rt, self, *character);
    if (CountCodePoints(fill) != 1) Fail("The fill character must be exactly one character long");
  }
  const Int missing = width - LengthOf(self);
  if (missing <= 0) return Like(rt, self, self.Text());
  // Python's center gives the odd one to the left when the width is odd.
  const Int half = missing / 2 + (missing & width & 1);
  const Int before = kSide == Side::kLeft ? 0 : kSide == Side::kRight ? missing : half;
  TextBuilder out(rt);
  out.AppendRepeated(fill, before);
  out.Append(self.Text());
  out.AppendRepeated(fill, missing - before);
  return Value::String(out.Take(), self.IsMarkup());
}

Value ZeroFill(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters given("zfill", arguments, {""}, 1);
  std::string_view text = self.Text();
  const Int missing = NeedInt(given[0], "width") - LengthOf(self);
  TextBuilder out(rt);
  if (missing > 0 && !text.empty() && (text[0] == '-' || text[0] == '+')) {
    out.Append(text[0]);
    text.remove_prefix(1);
  }
  out.AppendRepeated("0", missing);
  out.Append(text);
  return Value::String(out.Take(), self.IsMarkup());
}

Value ExpandTabs(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters given("expandtabs", arguments, {"tabsize"});
  const Int tab = given.IntOr(0, 8);
  const std::string_view text = self.Text();
  TextBuilder out(rt);
  Int column = 0;
  for (size_t at = 0; at < text.size();) {
    const Decoded c = DecodeAt(text, at);
    if (c.value == '\t') {
      if (tab > 0) {
        const Int spaces = tab - column % tab;
        out.AppendRepeated(" ", spaces);
        column += spaces;
      }
    } else {
      column = c.value == '\n' || c.value == '\r' ? 0 : column + 1;
      out.Append(text.substr(at, c.size));
    }
    at += c.size;
  }
  return Value::String(out.Take(), self.IsMarkup());
}

Value FormatMethod(Runtime& rt, const Value& self, const Arguments& arguments) {
  DictObject named;
  for (const auto& [name, value] : arguments.named) named.Set(Value::String(name), value);
  return BraceFormat(rt, self, arguments.positional, named);
}

Value FormatMapMethod(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters given("format_map", arguments, {""}, 1);
  if (!given[0].Is(Kind::kDict)) Fail("format_map() argument must be a dict");
  return BraceFormat(rt, self, {}, given[0].As<DictObject>());
}

constexpr Method kMethods[] = {
    {"capitalize", MapCase<Capitalize>},
    {"casefold", MapCase<CaseFold>},
    {"center", Justify<Side::kBoth>},
    {"count", Count},
    {"encode", nullptr},
    {"endswith", HasAffix<true>},
    {"expandtabs", ExpandTabs},
    {"find", Find<false, false>},
    {"format", FormatMethod},
    {"format_map", FormatMapMethod},
    {"index", Find<false, true>},
    {"isalnum", Check<AllAlnum>},
    {"isalpha", Check<AllAlpha>},
    {"isascii", Check<AllAscii>},
    {"isdecimal", Check<AllDecimal>},
    {"isdigit", Check<AllDigits>},
    {"isidentifier", Check<IsIdentifier>},
    {"islower", Check<IsLowerCase>},
    {"isnumeric", Check<AllNumeric>},
    {"isprintable", Check<AllPrintable>},
    {"isspace", Check<AllSpace>},
    {"istitle", Check<IsTitleCase>},
    {"isupper", Check<IsUpperCase>},
    {"join", Join},
    {"ljust", Justify<Side::kLeft>},
    {"lower", MapCase<Lower>},
    {"lstrip", Strip<true, false>},
    {"maketrans", nullptr},
    {"partition", Partition<false>},
    {"removeprefix", RemoveAffix<false>},
    {"removesuffix", RemoveAffix<true>},
    {"replace", ReplaceMethod},
    {"rfind", Find<true, false>},
    {"rindex", Find<true, true>},
    {"rjust", Justify<Side::kRight>},
    {"rpartition", Partition<true>},
    {"rsplit", Split<true>},
    {"rstrip", Strip<false, true>},
    {"split", Split<false>},
    {"splitlines", SplitLinesMethod},
    {"startswith", HasAffix<false>},
    {"strip", Strip<true, true>},
    {"swapcase", MapCase<SwapCase>},
    {"title", MapCase<Title>},
    {"translate", nullptr},
    {"upper", MapCase<Upper>},
    {"zfill", ZeroFill},
};

}  // namespace

const Method* FindTextMethod(std::string_view name) {
  const auto* found = std::find_if(std::begin(kMethods), std::end(kMethods),
                                   [name](const Method& method) { return method.name == name; });
  return found == std::end(kMethods) ? nullptr : found;
}

}  // namespace qnext::jinja
