#include "text/byte_level.h"

#include <array>
#include <cstdint>

#include "text/utf8.h"

namespace qnext {
namespace {

constexpr char32_t kFirstSubstitute = 0x100;

constexpr bool IsItself(int byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || (byte >= 0xAE && byte <= 0xFF);
}

struct Alphabet {
  std::array<char32_t, 256> character{};
  std::array<int16_t, 512> byte{};  // by character; -1 where none

  constexpr Alphabet() {
    for (auto& entry : byte) entry = -1;
    char32_t substitute = kFirstSubstitute;
    for (int value = 0; value < 256; ++value) {
      const char32_t code = IsItself(value) ? static_cast<char32_t>(value) : substitute++;
      character[static_cast<size_t>(value)] = code;
      byte[code] = static_cast<int16_t>(value);
    }
  }
};
constexpr Alphabet kAlphabet;

}  // namespace

std::optional<std::string> BytesFromSpelling(std::string_view spelled) {
  std::string bytes;
  bytes.reserve(spelled.size());
  for (size_t at = 0; at < spelled.size(); at += Utf8Length(spelled[at])) {
    const char32_t code = DecodeValidUtf8(spelled.data() + at);
    if (code >= kAlphabet.byte.size() || kAlphabet.byte[code] < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(kAlphabet.byte[code]));
  }
  return bytes;
}

std::string SpellBytes(std::string_view bytes) {
  std::string spelled;
  for (const char byte : bytes) AppendUtf8(kAlphabet.character[static_cast<unsigned char>(byte)], &spelled);
  return spelled;
}

}  // namespace qnext
