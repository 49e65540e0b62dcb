#include "text/utf8.h"

#include <cstdint>
#include <cstring>

#include "base/check.h"

namespace qnext {
namespace {

// One step through arbitrary bytes: a character, a maximal ill-formed part, or a part that the text's end cuts short.
struct Step {
  size_t length;
  enum { kCharacter, kIllFormed, kCutShort } kind;
};

// The well-formed sequences are those of table 3-7 of the Unicode standard: the second byte's range depends on the
// first, which excludes overlong forms, surrogates and everything above U+10FFFF.
Step NextStep(std::string_view text) {
  const auto byte = [&text](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {1, Step::kCharacter};
  if (lead < 0xC2 || lead > 0xF4) return {1, Step::kIllFormed};
  const size_t length = Utf8Length(text[0]);
  unsigned char low = 0x80;
  unsigned char high = 0xBF;
  if (lead == 0xE0) low = 0xA0;
  if (lead == 0xED) high = 0x9F;
  if (lead == 0xF0) low = 0x90;
  if (lead == 0xF4) high = 0x8F;
  for (size_t i = 1; i < length; ++i) {
    if (i == text.size()) return {i, Step::kCutShort};
    if (byte(i) < low || byte(i) > high) return {i, Step::kIllFormed};
    low = 0x80;
    high = 0xBF;
  }
  return {length, Step::kCharacter};
}

}  // namespace

size_t AsciiPrefix(std::string_view text) {
  constexpr uint64_t kHighBits = 0x8080808080808080;
  size_t at = 0;
  for (; at + sizeof(uint64_t) <= text.size(); at += sizeof(uint64_t)) {
    uint64_t word = 0;
    std::memcpy(&word, text.data() + at, sizeof(word));
    if ((word & kHighBits) != 0) break;
  }
  while (at < text.size() && static_cast<unsigned char>(text[at]) < 0x80) ++at;
  return at;
}

size_t ValidUtf8Prefix(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    at += AsciiPrefix(text.substr(at));
    if (at == text.size()) break;
    const Step step = NextStep(text.substr(at));
    if (step.kind != Step::kCharacter) break;
    at += step.length;
  }
  return at;
}

bool IsValidUtf8(std::string_view text) { return ValidUtf8Prefix(text) == text.size(); }

std::string ReplaceInvalidUtf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (true) {
    const size_t valid = ValidUtf8Prefix(text);
    out.append(text.substr(0, valid));
    text.remove_prefix(valid);
    if (text.empty()) return out;
    out.append("\xEF\xBF\xBD");
    text.remove_prefix(NextStep(text).length);
  }
}

size_t CompleteUtf8Prefix(std::string_view text) {
  // An unfinished character is at most three bytes, and its first byte is the last one that is not a continuation.
  for (size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    const size_t at = text.size() - back;
    if ((static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) continue;
    return NextStep(text.substr(at)).kind == Step::kCutShort ? at : text.size();
  }
  return text.size();
}

void AppendUtf8(char32_t code, std::string* out) {
  QNEXT_CHECK(code < 0x110000 && (code < 0xD800 || code > 0xDFFF), "not a Unicode scalar value");
  const auto put = [out](char32_t byte) { out->push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | code >> 6);
    put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3F));
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  }
}

}  // namespace qnext
