// Template source to a tree. Grammar, precedence and quirks are Jinja's.
#pragma once

#include <string_view>

#include "text/jinja/ast.h"

namespace qnext::jinja {

// Names are not resolved yet (scope.h). Throws TemplateError: kInvalidArgument for what Jinja calls a syntax error,
// kUnsupported for tags, filters and tests that this engine lacks. `source` is well-formed UTF-8.
Block Parse(std::string_view source);

}  // namespace qnext::jinja
