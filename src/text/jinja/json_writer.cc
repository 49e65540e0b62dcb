#include "text/jinja/json_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <string_view>

#include "text/jinja/compare.h"
#include "text/jinja/error.h"
#include "text/jinja/number.h"
#include "text/jinja/print.h"
#include "text/jinja/unicode.h"

namespace qnext::jinja {
namespace {

std::string JsonFloat(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
  return FloatText(value);
}

void AppendUtf16Escape(uint32_t unit, std::string* out) { fmt::format_to(std::back_inserter(*out), "\\u{:04x}", unit); }

std::string QuoteJson(std::string_view text, bool ensure_ascii) {
  std::string out = "\"";
  for (size_t at = 0; at < text.size();) {
    const Decoded c = DecodeAt(text, at);
    const auto code = static_cast<uint32_t>(c.value);
    switch (code) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\f':
        out += "\\f";
        break;
      case '\b':
        out += "\\b";
        break;
      default:
        if (code < 0x20 || (ensure_ascii && code >= 0x7F && code <= 0xFFFF)) {
          AppendUtf16Escape(code, &out);
        } else if (ensure_ascii && code > 0xFFFF) {
          AppendUtf16Escape(0xD800 + ((code - 0x10000) >> 10), &out);
          AppendUtf16Escape(0xDC00 + ((code - 0x10000) & 0x3FF), &out);
        } else {
          out.append(text.substr(at, c.size));
        }
    }
    at += c.size;
  }
  out += '"';
  return out;
}

class Writer {
 public:
  Writer(Runtime& rt, const JsonStyle& style) : rt_(rt), style_(style), out_(rt) {}

  void Write(const Value& value) {
    rt_.Step();
    switch (value.kind()) {
      case Kind::kNone:
        out_.Append("null");
        return;
      case Kind::kBool:
        out_.Append(value.AsBool() ? "true" : "false");
        return;
      case Kind::kInt:
        out_.Append(IntText(value.AsInt()));
        return;
      case Kind::kFloat:
        out_.Append(JsonFloat(value.AsFloat()));
        return;
      case Kind::kString:
        WriteText(value.Text());
        return;
      case Kind::kList:
      case Kind::kTuple:
        WriteList(value.Items());
        return;
      case Kind::kDict:
        WriteDict(value.As<DictObject>());
        return;
      default:
        Fail(fmt::format("Object of type {} is not JSON serializable", TypeName(value)));
    }
  }

  std::string Take() { return out_.Take(); }

 private:
  void WriteText(std::string_view text) {
    rt_.Work(text.size());
    out_.Append(QuoteJson(text, style_.ensure_ascii));
  }

  void NewLine() {
    if (!style_.pretty) return;
    out_.Append("\n");
    out_.AppendRepeated(style_.indent, level_);
  }

  // Before an item of the container in progress.
  void Separate(bool first) {
    if (!first) out_.Append(style_.item_separator);
    NewLine();
  }

  void WriteList(const std::vector<Value>& items) {
    if (items.empty()) {
      out_.Append("[]");
      return;
    }
    out_.Append("[");
    ++level_;
    for (size_t i = 0; i < items.size(); ++i) {
      Separate(i == 0);
      Write(items[i]);
    }
    --level_;
    NewLine();
    out_.Append("]");
  }

  void WriteDict(const DictObject& dict) {
    if (dict.entries().empty()) {
      out_.Append("{}");
      return;
    }
    std::vector<const DictObject::Entry*> entries;
    entries.reserve(dict.entries().size());
    for (const DictObject::Entry& entry : dict.entries()) entries.push_back(&entry);
    if (style_.sort_keys) {
      std::stable_sort(entries.begin(), entries.end(),
                       [this](const auto* a, const auto* b) { return Less(rt_, a->first, b->first); });
    }
    out_.Append("{");
    ++level_;
    bool first = true;
    for (const DictObject::Entry* entry : entries) {
      Separate(std::exchange(first, false));
      WriteKey(entry->first);
      out_.Append(style_.key_separator);
      Write(entry->second);
    }
    --level_;
    NewLine();
    out_.Append("}");
  }

  void WriteKey(const Value& key) {
    switch (key.kind()) {
      case Kind::kString:
        WriteText(key.Text());
        return;
      case Kind::kNone:
        WriteText("null");
        return;
      case Kind::kBool:
        WriteText(key.AsBool() ? "true" : "false");
        return;
      case Kind::kInt:
        WriteText(IntText(key.AsInt()));
        return;
      case Kind::kFloat:
        WriteText(JsonFloat(key.AsFloat()));
        return;
      default:
        Fail(fmt::format("keys must be str, int, float, bool or None, not {}", TypeName(key)));
    }
  }

  Runtime& rt_;
  const JsonStyle& style_;
  TextBuilder out_;
  Int level_ = 0;
};

}  // namespace

std::string WriteJson(Runtime& rt, const Value& value, const JsonStyle& style) {
  Writer writer(rt, style);
  writer.Write(value);
  return writer.Take();
}

}  // namespace qnext::jinja
