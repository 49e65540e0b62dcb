// UTF-8 checked the way Python's errors="replace" does: each maximal ill-formed part counts as one replacement.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace qnext {

bool IsValidUtf8(std::string_view text);

// The text with each maximal ill-formed part replaced by U+FFFD.
std::string ReplaceInvalidUtf8(std::string_view text);

// The length of the longest prefix that does not end inside a character that more bytes could complete.
size_t CompleteUtf8Prefix(std::string_view text);

}  // namespace qnext
