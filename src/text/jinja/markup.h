// HTML-safe strings: what `safe` and `escape` make, and how they combine with plain ones.
#pragma once

#include <string>
#include <string_view>

#include "text/jinja/runtime.h"
#include "text/jinja/value.h"

namespace qnext::jinja {

// & < > ' " as character references.
std::string EscapeHtml(Runtime& rt, std::string_view text);

// escape(x): markup as it is, everything else as escaped text.
Value Escape(Runtime& rt, const Value& value);

// The text of a string argument of a method of `self`: markup escapes what it takes in.
std::string TextFor(Runtime& rt, const Value& self, const Value& text);

}  // namespace qnext::jinja
