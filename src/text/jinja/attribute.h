// x.name, x[key], x[a:b:c] and x.method(...), as the sandbox lets templates see them.
#pragma once

#include <string>
#include <string_view>

#include "text/jinja/runtime.h"
#include "text/jinja/value.h"

namespace qnext::jinja {

// x.name: the Python attribute first (methods above all), then x["name"]; undefined when there is neither.
Value GetAttribute(Runtime& rt, const Value& object, const std::string& name);
// x[key]: the item first, then, for a string key, the attribute.
Value GetItem(Runtime& rt, const Value& object, const Value& key);
// The attribute alone ("x|attr(name)").
Value GetOnlyAttribute(Runtime& rt, const Value& object, const std::string& name);

// Each bound may be None.
Value GetSlice(Runtime& rt, const Value& object, const Value& start, const Value& stop, const Value& step);

Value CallMethod(Runtime& rt, const Value& self, std::string_view name, const Arguments& arguments);

// A method of a builtin type.
struct Method {
  std::string_view name;
  // Null where Python has the method and this engine does not.
  Value (*call)(Runtime& rt, const Value& self, const Arguments& arguments);
  bool changes_self = false;  // refused by the sandbox
};

// The method of that name, or null.
const Method* FindTextMethod(std::string_view name);
const Method* FindContainerMethod(Kind kind, std::string_view name);

}  // namespace qnext::jinja
