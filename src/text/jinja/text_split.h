// Taking strings apart, as Python's str does. The pieces point into `text`; more of them than a list may have are an
// error.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/runtime.h"
#include "text/jinja/value.h"

namespace qnext::jinja {

// At most `most` splits (negative: all), counted from the right end if `from_right`.
std::vector<std::string_view> SplitAt(Runtime& rt, std::string_view text, std::string_view separator, Int most,
                                      bool from_right);
// At runs of white space; no empty pieces, but what is left after the last split keeps its far end as it is.
std::vector<std::string_view> SplitAtSpace(Runtime& rt, std::string_view text, Int most, bool from_right);
// str.splitlines: "\r\n" is one break; a break at the end opens no further line.
std::vector<std::string_view> SplitLines(Runtime& rt, std::string_view text, bool keep_ends);

// Takes all characters that occur in `chars` off the ends.
std::string_view StripChars(std::string_view text, std::string_view chars, bool left, bool right);

// At most `most` replacements (negative: all). An empty `from` matches between all characters.
std::string ReplaceText(Runtime& rt, std::string_view text, std::string_view from, std::string_view to, Int most);

}  // namespace qnext::jinja
