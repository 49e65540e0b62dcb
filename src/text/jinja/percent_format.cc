// "..." % values.
#include <fmt/format.h>

#include <string>
#include <string_view>

#include "text/jinja/error.h"
#include "text/jinja/format_spec.h"
#include "text/jinja/markup.h"
#include "text/jinja/number.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"
#include "text/jinja/unicode.h"

namespace qnext::jinja {
namespace {

// What Python takes for a mapping here: anything that can be subscripted, but tuples and strings.
bool IsMappingLike(const Value& value) {
  return value.Is(Kind::kDict) || value.Is(Kind::kList) || value.Is(Kind::kRange) || value.Is(Kind::kUndefined);
}

class PercentFormatter {
 public:
  PercentFormatter(Runtime& rt, const Value& format, const Value& values)
      : rt_(rt), text_(format.Text()), markup_(format.IsMarkup()), values_(values), out_(rt) {}

  Value Run() {
    while (at_ < text_.size()) {
      const size_t percent = std::min(text_.find('%', at_), text_.size());
      out_.Append(text_.substr(at_, percent - at_));
      at_ = percent + 1;
      if (percent < text_.size()) Conversion();
    }
    const size_t given = values_.Is(Kind::kTuple) ? values_.Items().size() : 1;
    if (!IsMappingLike(values_) && !keyed_ && used_ < given) {
      Fail("not all arguments converted during string formatting");
    }
    return Value::String(out_.Take(), markup_);
  }

 private:
  bool At(char c) const { return at_ < text_.size() && text_[at_] == c; }

  void Conversion() {
    if (At('%')) {
      ++at_;
      out_.Append('%');
      return;
    }
    const Value* keyed = nullptr;
    if (At('(')) keyed = &Key();
    FormatSpec spec;
    bool left = false;
    for (; at_ < text_.size(); ++at_) {
      const char flag = text_[at_];
      if (flag == '-') {
        left = true;
      } else if (flag == '+') {
        spec.sign = '+';
      } else if (flag == ' ') {
        if (spec.sign != '+') spec.sign = ' ';
      } else if (flag == '#') {
        spec.alternate = true;
      } else if (flag == '0') {
        spec.zero = true;
      } else {
        break;
      }
    }
    spec.width = Number(&left);
    if (At('.')) {
      ++at_;
      bool negative = false;
      spec.precision = Number(&negative);
      if (negative) spec.precision = 0;
    }
    if (At('h') || At('l') || At('L')) ++at_;
    if (at_ >= text_.size()) Fail("incomplete format");
    const char type = text_[at_++];
    Convert(keyed != nullptr ? *keyed : NextValue(), type, left, &spec);
  }

  // "(name)": the value under that key.
  const Value& Key() {
    if (!IsMappingLike(values_)) Fail("format requires a mapping");
    size_t end = ++at_;
    for (int open = 1; end < text_.size(); ++end) {
      if (text_[end] == '(') ++open;
      if (text_[end] == ')' && --open == 0) break;
    }
    if (end >= text_.size()) Fail("incomplete format key");
    const std::string_view name = text_.substr(at_, end - at_);
    at_ = end + 1;
    keyed_ = true;
    if (values_.Is(Kind::kUndefined)) FailUndefined(values_);
    const Value* found = values_.Is(Kind::kDict) ? values_.As<DictObject>().Find(name) : nullptr;
    if (found == nullptr) Fail(fmt::format("KeyError: {}", ReprText(name)));
    return *found;
  }

  const Value& NextValue() {
    if (values_.Is(Kind::kTuple)) {
      if (used_ >= values_.Items().size()) Fail("not enough arguments for format string");
      return values_.Items()[used_++];
    }
    if (used_++ > 0 || keyed_) Fail("not enough arguments for format string");
    return values_;
  }

  // A width or precision; "*" takes it from the values, negative meaning `*negative`.
  Int Number(bool* negative) {
    if (At('*')) {
      ++at_;
      const Value& value = NextValue();
      if (!value.IsIntegral()) Fail("* wants int");
      if (value.AsInt() >= 0) return value.AsInt();
      *negative = true;
      return -value.AsInt();
    }
    Int number = 0;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      number = number * 10 + (text_[at_] - '0');
      if (number > 1'000'000'000) Fail("width too big");
    }
    return number;
  }

  void Convert(const Value& value, char type, bool left, FormatSpec* spec) {
    spec->align = left ? '<' : '>';
    switch (type) {
      case 's':
      case 'r':
        ConvertText(value, type == 'r', *spec);
        return;
      case 'a':
        FailUnsupported(0, "the %a conversion");
      case 'c':
        ConvertCharacter(value, *spec);
        return;
      case 'd':
      case 'i':
      case 'u':
      case 'x':
      case 'X':
      case 'o':
        ConvertInteger(value, type, left, spec);
        return;
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G': {
        if (value.Is(Kind::kUndefined)) FailUndefined(value);
        if (!value.IsNumber()) Fail(fmt::format("must be real number, not {}", TypeName(value)));
        if (spec->zero && !left) PadWithZeros(spec);
        out_.Append(PadNumber(rt_, FloatParts(AsDouble(value), type, spec->precision, spec->alternate), *spec));
        return;
      }
      default:
        Fail(fmt::format("unsupported format character '{}'", type));
    }
  }

  static void PadWithZeros(FormatSpec* spec) {
    spec->fill.assign(1, '0');
    spec->align = '=';
  }

  void ConvertText(const Value& value, bool repr, const FormatSpec& spec) {
    std::string text = repr ? Repr(rt_, value) : Str(rt_, value);
    if (markup_ && (repr || !value.IsMarkup())) text = EscapeHtml(rt_, text);
    std::string_view shown = text;
    if (spec.precision >= 0 && spec.precision < static_cast<Int>(text.size())) {
      shown = shown.substr(0, OffsetOfCodePoint(text, static_cast<size_t>(spec.precision)));
    }
    out_.Append(PadText(rt_, shown, spec));
  }

  void ConvertCharacter(const Value& value, const FormatSpec& spec) {
    std::string text;
    if (value.IsIntegral()) {
      const Int code = value.AsInt();
      if (code < 0 || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) Fail("%c arg not in range(0x110000)");
      AppendCodePoint(static_cast<char32_t>(code), &text);
    } else if (value.Is(Kind::kString) && value.As<StringObject>().length() == 1) {
      text = std::string(value.Text());
    } else {
      Fail("%c requires int or char");
    }
    out_.Append(PadText(rt_, text, spec));
  }

  void ConvertInteger(const Value& value, char type, bool left, FormatSpec* spec) {
    if (value.Is(Kind::kUndefined)) FailUndefined(value);
    const bool decimal = type == 'd' || type == 'i' || type == 'u';
    if (!value.IsNumber() || (!decimal && value.Is(Kind::kFloat))) {
      Fail(fmt::format("%{} format: a number is required, not {}", type, TypeName(value)));
    }
    const Int integer = value.Is(Kind::kFloat) ? FloatToInt(value.AsFloat()) : value.AsInt();
    NumberText number;
    number.negative = integer < 0;
    number.digits = DigitsIn(integer, decimal ? 10 : type == 'o' ? 8 : 16, type == 'X');
    if (spec->alternate && !decimal) number.prefix = type == 'o' ? "0o" : type == 'X' ? "0X" : "0x";
    if (spec->precision > static_cast<Int>(number.digits.size())) {
      TextBuilder zeros(rt_);
      zeros.AppendRepeated("0", spec->precision - static_cast<Int>(number.digits.size()));
      number.digits = zeros.Take() + number.digits;
    }
    if (spec->zero && !left) PadWithZeros(spec);
    out_.Append(PadNumber(rt_, number, *spec));
  }

  Runtime& rt_;
  const std::string_view text_;
  const bool markup_;
  const Value& values_;
  TextBuilder out_;
  size_t at_ = 0;
  size_t used_ = 0;     // values consumed
  bool keyed_ = false;  // a "(name)" was used
};

}  // namespace

Value PercentFormat(Runtime& rt, const Value& format, const Value& values) {
  rt.WorkOn(format);
  return PercentFormatter(rt, format, values).Run();
}

}  // namespace qnext::jinja
