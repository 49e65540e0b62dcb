#include "text/nfc.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <span>

#include "base/check.h"
#include "text/unicode_tables.h"
#include "text/utf8.h"

namespace qnext {
namespace {

using CodePoints = std::vector<utf8proc_int32_t>;

int CombiningClass(utf8proc_int32_t code) { return utf8proc_get_property(code)->combining_class; }

void AppendDecomposition(char32_t code, CodePoints* out) {
  // The longest canonical decomposition has four code points.
  std::array<utf8proc_int32_t, 16> parts{};
  const utf8proc_ssize_t count =
      utf8proc_decompose_char(static_cast<utf8proc_int32_t>(code), parts.data(), std::ssize(parts),
                              static_cast<utf8proc_option_t>(UTF8PROC_DECOMPOSE | UTF8PROC_STABLE), nullptr);
  QNEXT_CHECK(count > 0 && count <= std::ssize(parts), "utf8proc decomposes every scalar value");
  out->insert(out->end(), parts.begin(), parts.begin() + count);
}

// Sorts each run of combining marks by combining class. utf8proc's own way is quadratic in the length of such a run,
// which a client may choose.
void Reorder(CodePoints* codes) {
  for (auto begin = codes->begin(); begin != codes->end();) {
    if (CombiningClass(*begin) == 0) {
      ++begin;
      continue;
    }
    const auto end = std::find_if(begin, codes->end(), [](auto code) { return CombiningClass(code) == 0; });
    std::stable_sort(begin, end, [](auto a, auto b) { return CombiningClass(a) < CombiningClass(b); });
    begin = end;
  }
}

void Compose(CodePoints* codes) {
  const utf8proc_ssize_t count = utf8proc_normalize_utf32(
      codes->data(), std::ssize(*codes), static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
  QNEXT_CHECK(count >= 0 && count <= std::ssize(*codes), "utf8proc composes every sequence");
  codes->resize(static_cast<size_t>(count));
}

size_t PreviousCharacter(std::string_view text, size_t at) {
  do {
    --at;
  } while ((static_cast<unsigned char>(text[at]) & 0xC0) == 0x80);
  return at;
}

}  // namespace

size_t LeastNfcSize(std::string_view text) {
  const auto ascii = [&](size_t at) { return static_cast<unsigned char>(text[at]) < 0x80; };
  size_t alone = !text.empty() && ascii(text.size() - 1) ? 1 : 0;
  for (size_t at = 1; at < text.size(); ++at) alone += ascii(at - 1) && ascii(at) ? 1 : 0;
  return alone + (2 * (text.size() - alone) + 6) / 7;
}

NfcNormalizer::NfcNormalizer() : roles_(kCodePointEnd, Role::kInert) {
  CodePoints parts;
  for (const CodePointRange& range : kNfcRanges) {
    for (char32_t code = range.first; code <= range.last; ++code) {
      if (roles_[code] == Role::kInert) roles_[code] = Role::kStarter;
      parts.clear();
      AppendDecomposition(code, &parts);
      for (const auto part : std::span(parts).subspan(1)) roles_[static_cast<size_t>(part)] = Role::kChanges;
      Compose(&parts);
      const bool same = parts.size() == 1 && static_cast<char32_t>(parts[0]) == code;
      if (!same || CombiningClass(static_cast<utf8proc_int32_t>(code)) != 0) roles_[code] = Role::kChanges;
    }
  }
}

void NfcNormalizer::NormalizeRun(std::u32string_view run, std::string* out) const {
  CodePoints codes;
  codes.reserve(run.size() + 8);
  for (const char32_t code : run) AppendDecomposition(code, &codes);
  Reorder(&codes);
  Compose(&codes);
  for (const auto code : codes) AppendUtf8(static_cast<char32_t>(code), out);
}

std::optional<std::string> NfcNormalizer::Normalize(std::string_view text) const {
  std::optional<std::string> out;
  size_t copied = 0;  // what stands before this is in *out already
  std::u32string run;
  for (size_t at = AsciiPrefix(text); at < text.size();) {
    if (roles_[DecodeValidUtf8(text.data() + at)] != Role::kChanges) {
      at += Utf8Length(text[at]);
      continue;
    }
    // A run is all that may change here, and the character before it, which may compose with it. The latter is never
    // in the run before this one: runs are as long as possible.
    run.clear();
    size_t begin = at;
    if (at > copied) {
      const size_t before = PreviousCharacter(text, at);
      const char32_t code = DecodeValidUtf8(text.data() + before);
      if (roles_[code] == Role::kStarter) {
        begin = before;
        run.push_back(code);
      }
    }
    while (at < text.size()) {
      const char32_t code = DecodeValidUtf8(text.data() + at);
      if (roles_[code] != Role::kChanges) break;
      run.push_back(code);
      at += Utf8Length(text[at]);
    }
    if (!out) out.emplace().reserve(text.size());
    out->append(text.substr(copied, begin - copied));
    NormalizeRun(run, &*out);
    copied = at;
  }
  if (out) out->append(text.substr(copied));
  return out;
}

}  // namespace qnext
