// The escapes of string literals.
#pragma once

#include <string>
#include <string_view>

namespace qnext::jinja {

// The value of a literal whose quotes are already removed; escapes as in Python. `line` is for messages.
std::string UnescapeLiteral(std::string_view literal, int line);

}  // namespace qnext::jinja
