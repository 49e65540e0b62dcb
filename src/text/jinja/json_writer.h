// json.dumps, as Hugging Face's tojson filter calls it.
#pragma once

#include <string>

#include "text/jinja/runtime.h"
#include "text/jinja/value.h"

namespace qnext::jinja {

struct JsonStyle {
  bool ensure_ascii = false;
  bool pretty = false;  // `indent` is given, if only as ""
  std::string indent;
  std::string item_separator = ", ";
  std::string key_separator = ": ";
  bool sort_keys = false;
};

// Fails for what json.dumps refuses: undefined values, iterators, keys that are no scalars.
std::string WriteJson(Runtime& rt, const Value& value, const JsonStyle& style);

}  // namespace qnext::jinja
