// Request JSON to template values.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "text/jinja/runtime.h"
#include "text/jinja/value.h"

namespace qnext::jinja {

// Key order is kept; integers keep their value (the parser has made floats of those beyond 64 bits already). Throws
// TemplateError for strings that are not UTF-8 and for nesting beyond kMaxValueDepth.
Value FromJson(Runtime& rt, const nlohmann::ordered_json& json);

}  // namespace qnext::jinja
