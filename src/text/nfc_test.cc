#include "text/nfc.h"

#include <gtest/gtest.h>
#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "text/utf8.h"

namespace qnext {
namespace {

std::string Nfc(const std::string& text) {
  static const NfcNormalizer normalizer;
  return normalizer.Normalize(text).value_or(text);
}

TEST(Nfc, ComposesAndReorders) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", ""},
      {"plain", "plain"},
      {"e\u0301", "é"},
      {"xe\u0301y", "xéy"},
      {"e\u0301\u0323", "\u1EB9\u0301"},         // the mark below goes first
      {"e\u0323\u0302", "\u1EC7"},               // two steps
      {"\u0301e", "\u0301e"},                    // nothing stands before it
      {"\u0344", "\u0308\u0301"},                // decomposes and never comes back
      {"\u212B \u2126 \uF900", "Å Ω \u8C48"},    // singletons
      {"\u0958", "\u0915\u093C"},                // excluded from composition
      {"a\u05B0\u0301", "á\u05B0"},              // a lower class does not block
      {"a\u0315\u0301\u0300", "á\u0300\u0315"},  // the same class does
      {"\u1100\u1161\u11A8\uAC00\u11A8", "\uAC01\uAC01"},
      {"\u09C7\u09BE\u09C7", "\u09CB\u09C7"},  // the second part is a starter itself
      {"\U0001D15E", "\U0001D157\U0001D165"},
  };
  for (const auto& [given, expected] : cases) EXPECT_EQ(Nfc(given), expected) << given;
}

// The package's normalizer knows Unicode 9; whatever came later is a stranger to it, also where utf8proc knows better.
TEST(Nfc, LaterCharactersStayAndBlock) {
  EXPECT_EQ(Nfc("\U00011935\U00011930"), "\U00011935\U00011930");  // composes since Unicode 13
  EXPECT_EQ(Nfc("q\u0C3C\u0334"), "q\u0C3C\u0334");                // has a combining class since Unicode 14
  EXPECT_EQ(Nfc("q\u0345\u0C3C\u0334"), "q\u0345\u0C3C\u0334");
  EXPECT_EQ(Nfc("e\u0C3C\u0301"), "e\u0C3C\u0301");
  EXPECT_EQ(Nfc("\U000105D2\u0307"), "\U000105D2\u0307");  // composes since Unicode 16
}

// The bound that LeastNfcSize rests on, over all code points: the text that becomes a character of form C is made of
// code points that decompose to the same, and none of several parts is longer than its parts.
TEST(Nfc, ShortensByThreeAndAHalfAtMost) {
  const auto decomposed = [](char32_t code) {
    std::array<utf8proc_int32_t, 16> parts{};
    const auto count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(code), parts.data(), std::ssize(parts),
                                               UTF8PROC_DECOMPOSE, nullptr);
    return std::vector<utf8proc_int32_t>(parts.begin(), parts.begin() + count);
  };
  const auto each = [](auto use) {
    for (char32_t code = 0; code < 0x110000; ++code) {
      if (code < 0xD800 || code > 0xDFFF) use(code);
    }
  };
  const auto size = [](char32_t code) -> size_t { return code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4; };
  std::vector<size_t> longest(0x110000);  // what becomes this part alone
  each([&](char32_t code) {
    const auto parts = decomposed(code);
    if (parts.size() == 1) longest[parts[0]] = std::max(longest[parts[0]], size(code));
  });
  each([&](char32_t code) {
    size_t from = 0;
    for (const auto part : decomposed(code)) from += longest[part];
    ASSERT_LE(size(code), from) << static_cast<uint32_t>(code);
    std::string text;
    AppendUtf8(code, &text);
    if (Nfc(text) != text) return;
    ASSERT_LE(2 * from, 7 * size(code)) << static_cast<uint32_t>(code);
  });
}

TEST(Nfc, TheLeastSizeIsNoMoreThanTheSize) {
  EXPECT_EQ(LeastNfcSize(""), 0);
  EXPECT_EQ(LeastNfcSize("plain"), 5);
  EXPECT_EQ(LeastNfcSize("e\u0301"), 1);
  EXPECT_EQ(LeastNfcSize("\u1FBE\u0308\u0301"), 2);
  EXPECT_EQ(Nfc("\u1FBE\u0308\u0301"), "\u0390");
  for (const std::string text :
       {"e\u0301\u0323", "\u212A\u212A", "\u1100\u1161\u11A8", "x\u1FEF", "Grüße e\u0301 天"}) {
    EXPECT_LE(LeastNfcSize(text), Nfc(text).size()) << text;
  }
}

TEST(Nfc, IsIdempotentAndLeavesFormCAlone) {
  const NfcNormalizer normalizer;
  for (char32_t code = 0; code < 0x110000; ++code) {
    if (code >= 0xD800 && code <= 0xDFFF) continue;
    std::string text = "a";
    AppendUtf8(code, &text);
    text += "\u0301";
    const std::string once = Nfc(text);
    ASSERT_EQ(Nfc(once), once) << static_cast<uint32_t>(code);
  }
  EXPECT_FALSE(normalizer.Normalize("Zażółć 天地 각 щука").has_value());
}

TEST(Nfc, ManyMarksOnOneCharacterAreSortedNotBubbled) {
  std::string text = "q";
  std::string sorted = "q";
  for (int i = 0; i < 200000; ++i) text += "\u0345\u0334";
  for (int i = 0; i < 200000; ++i) sorted += "\u0334";
  for (int i = 0; i < 200000; ++i) sorted += "\u0345";
  EXPECT_TRUE(Nfc(text) == sorted);
}

}  // namespace
}  // namespace qnext
