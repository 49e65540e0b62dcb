#include "text/jinja/print.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "text/jinja/ast.h"
#include "text/jinja/error.h"
#include "text/jinja/number.h"
#include "text/jinja/objects.h"
#include "text/jinja/unicode.h"

namespace qnext::jinja {
namespace {

std::string_view ViewName(DictPart part) {
  switch (part) {
    case DictPart::kKeys:
      return "dict_keys";
    case DictPart::kValues:
      return "dict_values";
    case DictPart::kItems:
      break;
  }
  return "dict_items";
}

class Printer {
 public:
  explicit Printer(TextBuilder* out) : out_(*out) {}

  void Repr(const Value& value) {
    out_.runtime().Step();
    switch (value.kind()) {
      case Kind::kMissing:
      case Kind::kUndefined:
        out_.Append("Undefined");
        return;
      case Kind::kNone:
        out_.Append("None");
        return;
      case Kind::kBool:
        out_.Append(value.AsBool() ? "True" : "False");
        return;
      case Kind::kInt:
        out_.Append(IntText(value.AsInt()));
        return;
      case Kind::kFloat:
        out_.Append(FloatText(value.AsFloat()));
        return;
      case Kind::kString:
        out_.runtime().WorkOn(value);
        if (value.IsMarkup()) out_.Append("Markup(");
        out_.Append(ReprText(value.Text()));
        if (value.IsMarkup()) out_.Append(")");
        return;
      case Kind::kList:
        if (Open(&value.As<SequenceObject>(), "[...]")) {
          Sequence("[", value.Items(), "]");
          open_.pop_back();
        }
        return;
      case Kind::kTuple:
        if (Open(&value.As<SequenceObject>(), "(...)")) {
          Sequence("(", value.Items(), value.Items().size() == 1 ? ",)" : ")");
          open_.pop_back();
        }
        return;
      case Kind::kDict:
        if (Open(&value.As<DictObject>(), "{...}")) {
          Dict(value.As<DictObject>());
          open_.pop_back();
        }
        return;
      default:
        ReprObject(value);
        return;
    }
  }

 private:
  // Notes that `container` is being printed; false, with `again` printed, if it already is. Only a namespace can lead
  // back into what holds it.
  bool Open(const Object* container, std::string_view again) {
    if (namespaces_ > 0 && std::find(open_.begin(), open_.end(), container) != open_.end()) {
      out_.Append(again);
      return false;
    }
    if (open_.size() >= static_cast<size_t>(kMaxValueDepth)) FailLimit("values are nested too deeply to print");
    open_.push_back(container);
    return true;
  }

  void Sequence(std::string_view open, const std::vector<Value>& items, std::string_view close) {
    out_.Append(open);
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out_.Append(", ");
      Repr(items[i]);
    }
    out_.Append(close);
  }

  void Dict(const DictObject& dict) {
    out_.Append("{");
    bool first = true;
    for (const auto& [key, value] : dict.entries()) {
      if (!std::exchange(first, false)) out_.Append(", ");
      Repr(key);
      out_.Append(": ");
      Repr(value);
    }
    out_.Append("}");
  }

  void Range(const RangeObject& range) {
    out_.Append(fmt::format("range({}, {}", IntText(range.start), IntText(range.stop)));
    if (range.step != 1) out_.Append(", " + IntText(range.step));
    out_.Append(")");
  }

  void View(const DictViewObject& view) {
    out_.Append(ViewName(view.part));
    std::vector<Value> items;
    for (size_t i = 0; i < view.dict->entries().size(); ++i) items.push_back(view.At(i));
    Sequence("([", items, "])");
  }

  void Namespace(const NamespaceObject& space) {
    out_.Append("<Namespace ");
    if (Open(&space, "{...}")) {
      ++namespaces_;
      Dict(space.attributes);
      --namespaces_;
      open_.pop_back();
    }
    out_.Append(">");
  }

  void ReprObject(const Value& value) {
    switch (value.kind()) {
      case Kind::kRange:
        Range(value.As<RangeObject>());
        return;
      case Kind::kDictView:
        View(value.As<DictViewObject>());
        return;
      case Kind::kNamespace:
        Namespace(value.As<NamespaceObject>());
        return;
      case Kind::kLoop: {
        auto& loop = value.As<LoopObject>();
        out_.Append(fmt::format("<LoopContext {}/{}>", IntText(loop.index0 + 1), IntText(loop.Length(out_.runtime()))));
        return;
      }
      case Kind::kMacro: {
        const std::string& name = value.As<MacroObject>().body->name;
        out_.Append(name.empty() ? "<Macro anonymous>" : fmt::format("<Macro {}>", ReprText(name)));
        return;
      }
      case Kind::kFunction:
        if (const std::string_view printed = value.As<FunctionObject>().function.printed; !printed.empty()) {
          out_.Append(printed);
          return;
        }
        break;
      default:
        break;
    }
    FailUnsupported(0, fmt::format("printing a {} (Python prints its memory address)", TypeName(value)));
  }

  TextBuilder& out_;
  std::vector<const Object*> open_;
  int namespaces_ = 0;
};

}  // namespace

std::string_view TypeName(const Value& value) {
  switch (value.kind()) {
    case Kind::kMissing:
    case Kind::kUndefined:
      return "Undefined";
    case Kind::kNone:
      return "NoneType";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
      return "int";
    case Kind::kFloat:
      return "float";
    case Kind::kString:
      return value.IsMarkup() ? "Markup" : "str";
    case Kind::kList:
      return "list";
    case Kind::kTuple:
      return "tuple";
    case Kind::kDict:
      return "dict";
    case Kind::kRange:
      return "range";
    case Kind::kDictView:
      return ViewName(value.As<DictViewObject>().part);
    case Kind::kIterator:
      return "generator";
    case Kind::kNamespace:
      return "Namespace";
    case Kind::kLoop:
      return "LoopContext";
    case Kind::kMacro:
      return "Macro";
    case Kind::kFunction:
      return "function";
    case Kind::kMethod:
      return "method";
    case Kind::kCycler:
      return "Cycler";
    case Kind::kJoiner:
      break;
  }
  return "Joiner";
}

void FailUndefined(const Value& undefined) { Fail(undefined.As<UndefinedObject>().message); }

std::string ReprText(std::string_view text) {
  const bool double_quoted = text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos;
  const char quote = double_quoted ? '"' : '\'';
  std::string out(1, quote);
  for (size_t at = 0; at < text.size();) {
    const Decoded c = DecodeAt(text, at);
    if (c.value == static_cast<char32_t>(quote) || c.value == '\\') {
      out += '\\';
      out += static_cast<char>(c.value);
    } else if (c.value == '\n') {
      out += "\\n";
    } else if (c.value == '\r') {
      out += "\\r";
    } else if (c.value == '\t') {
      out += "\\t";
    } else if (IsPrintable(c.value)) {
      out.append(text.substr(at, c.size));
    } else {
      const auto code = static_cast<uint32_t>(c.value);
      if (code <= 0xFF) {
        fmt::format_to(std::back_inserter(out), "\\x{:02x}", code);
      } else if (code <= 0xFFFF) {
        fmt::format_to(std::back_inserter(out), "\\u{:04x}", code);
      } else {
        fmt::format_to(std::back_inserter(out), "\\U{:08x}", code);
      }
    }
    at += c.size;
  }
  out += quote;
  return out;
}

void AppendStr(const Value& value, TextBuilder* out) {
  if (value.Is(Kind::kString)) {
    out->Append(value.Text());
  } else if (!value.Is(Kind::kUndefined)) {
    Printer(out).Repr(value);
  }
}

std::string Str(Runtime& rt, const Value& value) {
  TextBuilder out(rt);
  AppendStr(value, &out);
  return out.Take();
}

std::string Repr(Runtime& rt, const Value& value) {
  TextBuilder out(rt);
  Printer(&out).Repr(value);
  return out.Take();
}

Value SoftStr(Runtime& rt, const Value& value) {
  return value.Is(Kind::kString) ? value : Value::String(Str(rt, value));
}

}  // namespace qnext::jinja
