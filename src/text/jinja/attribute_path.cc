#include "text/jinja/attribute_path.h"

#include <string>
#include <string_view>

#include "text/jinja/attribute.h"
#include "text/jinja/number.h"
#include "text/jinja/text_split.h"
#include "text/jinja/unicode.h"

namespace qnext::jinja {

AttributePath::AttributePath(Runtime& rt, const Value& attribute) {
  if (attribute.Is(Kind::kNone)) return;
  if (!attribute.Is(Kind::kString)) {
    parts_.push_back(attribute);
    return;
  }
  rt.WorkOn(attribute);
  for (const std::string_view part : SplitAt(rt, attribute.Text(), ".", -1, /*from_right=*/false)) {
    const bool index = !part.empty() && part.find_first_not_of("0123456789") == std::string_view::npos;
    parts_.push_back(index ? Value::Integer(ParseInt(part, 10).value_or(0)) : Value::String(std::string(part)));
  }
}

Value AttributePath::Get(Runtime& rt, const Value& item, const Value& fallback) const {
  Value value = item;
  for (const Value& part : parts_) {
    value = GetItem(rt, value, part);
    if (value.Is(Kind::kUndefined) && !fallback.Is(Kind::kNone)) value = fallback;
  }
  return value;
}

Value IgnoreCase(Runtime& rt, const Value& value) {
  return value.Is(Kind::kString) ? rt.String(Lower(value.Text()), value.IsMarkup()) : value;
}

}  // namespace qnext::jinja
