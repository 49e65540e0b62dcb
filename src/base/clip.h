// Values from files inside error messages.
#pragma once

#include <string>
#include <string_view>

namespace qnext {

// The text, cut to at most `most` bytes and "..." where it is longer; no UTF-8 character is cut in two. What a file
// says may be a megabyte, a message should stay a line.
std::string Clip(std::string_view text, size_t most = 80);

}  // namespace qnext
