// "address.city": what filters look up in each item of a sequence.
#pragma once

#include <vector>

#include "text/jinja/runtime.h"
#include "text/jinja/value.h"

namespace qnext::jinja {

class AttributePath {
 public:
  // `attribute`: none for the item itself, a string with dots (parts made of digits are indices), or any other key.
  explicit AttributePath(Runtime& rt, const Value& attribute);

  // What the path leads to; with a `fallback` that is not none, undefined steps become it.
  Value Get(Runtime& rt, const Value& item, const Value& fallback = Value::None()) const;

 private:
  std::vector<Value> parts_;
};

// The key that sorts and compares without case: strings in lower case, everything else as it is.
Value IgnoreCase(Runtime& rt, const Value& value);

}  // namespace qnext::jinja
