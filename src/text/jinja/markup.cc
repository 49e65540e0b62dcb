#include "text/jinja/markup.h"

#include "text/jinja/print.h"

namespace qnext::jinja {

std::string EscapeHtml(Runtime& rt, std::string_view text) {
  TextBuilder out(rt);
  size_t start = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    std::string_view reference;
    switch (text[i]) {
      case '&':
        reference = "&amp;";
        break;
      case '<':
        reference = "&lt;";
        break;
      case '>':
        reference = "&gt;";
        break;
      case '\'':
        reference = "&#39;";
        break;
      case '"':
        reference = "&#34;";
        break;
      default:
        continue;
    }
    out.Append(text.substr(start, i - start));
    out.Append(reference);
    start = i + 1;
  }
  out.Append(text.substr(start));
  return out.Take();
}

Value Escape(Runtime& rt, const Value& value) {
  if (value.IsMarkup()) return value;
  if (value.Is(Kind::kString)) return Value::String(EscapeHtml(rt, value.Text()), /*markup=*/true);
  return Value::String(EscapeHtml(rt, Str(rt, value)), /*markup=*/true);
}

std::string TextFor(Runtime& rt, const Value& self, const Value& text) {
  if (self.IsMarkup() && !text.IsMarkup()) return EscapeHtml(rt, text.Text());
  return std::string(text.Text());
}

}  // namespace qnext::jinja
