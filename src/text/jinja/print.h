// str() and repr() of values, and how messages name them.
#pragma once

#include <string>
#include <string_view>

#include "text/jinja/runtime.h"
#include "text/jinja/value.h"

namespace qnext::jinja {

std::string_view TypeName(const Value& value);  // type(x).__name__

// Fails with the message the undefined value carries.
[[noreturn]] void FailUndefined(const Value& undefined);

// str(x). What Python would print with a memory address is an error: no two runs agree on it.
std::string Str(Runtime& rt, const Value& value);
void AppendStr(const Value& value, TextBuilder* out);

std::string Repr(Runtime& rt, const Value& value);
std::string ReprText(std::string_view text);  // a string in Python's quotes

// str(x), except that a string stays the value it is (markup included): what most string filters begin with.
Value SoftStr(Runtime& rt, const Value& value);

}  // namespace qnext::jinja
