// The byte-level alphabet: how tokenizer.json spells arbitrary bytes in printable characters.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace qnext {

// The bytes that `spelled` stands for; nothing if it contains a character that is not of the alphabet. `spelled` must
// be valid UTF-8. Every byte has exactly one spelling: the printable characters of Latin-1 are themselves, the other 68
// bytes are U+0100 and up in their order, so that a space is U+0120.
std::optional<std::string> BytesFromSpelling(std::string_view spelled);

// The inverse.
std::string SpellBytes(std::string_view bytes);

}  // namespace qnext
