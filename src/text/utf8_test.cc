#include "text/utf8.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <utility>
#include <vector>

namespace qnext {
namespace {

const std::string kBad = "\xEF\xBF\xBD";

TEST(Utf8, EveryScalarValueIsValidAndComesBack) {
  for (char32_t code = 0; code < 0x110000; ++code) {
    if (code >= 0xD800 && code <= 0xDFFF) continue;
    std::string text;
    AppendUtf8(code, &text);
    ASSERT_TRUE(IsValidUtf8(text)) << static_cast<uint32_t>(code);
    ASSERT_EQ(Utf8Length(text[0]), text.size()) << static_cast<uint32_t>(code);
    ASSERT_EQ(DecodeValidUtf8(text.data()), code);
    for (size_t cut = 1; cut < text.size(); ++cut) {
      ASSERT_EQ(CompleteUtf8Prefix(std::string("x").append(text, 0, cut)), 1U) << static_cast<uint32_t>(code);
      ASSERT_EQ(ReplaceInvalidUtf8(text.substr(0, cut)), kBad) << static_cast<uint32_t>(code);
    }
  }
}

// The expected strings are what Python 3 gives for bytes.decode("utf-8", "replace").
TEST(Utf8, EachMaximalIllFormedPartIsOneReplacement) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", ""},
      {"a\x80z", "a" + kBad + "z"},
      {"\xC0\xAF", kBad + kBad},                        // overlong
      {"\xE0\x80\xAF", kBad + kBad + kBad},             // overlong
      {"\xED\xA0\x80", kBad + kBad + kBad},             // a surrogate
      {"\xF4\x90\x80\x80", kBad + kBad + kBad + kBad},  // above U+10FFFF
      {"\xF0\x9F\x98", kBad},                           // cut short
      {"\xF0\x9F\x98z", kBad + "z"},
      {"\xF0\x9F\xE2\x82\xAC", kBad + "\xE2\x82\xAC"},  // a new character in the middle of one
      {"\xE2\x82\xE2\x82", kBad + kBad},
      {"\xC2\xC2\xA0", kBad + "\xC2\xA0"},
      {"\xFE\xFF", kBad + kBad},
      {"12345678\xFF"
       "12345678",
       "12345678" + kBad + "12345678"},
      {"\xEF\xBF\xBD", kBad},
  };
  for (const auto& [given, expected] : cases) {
    EXPECT_EQ(ReplaceInvalidUtf8(given), expected);
    EXPECT_EQ(IsValidUtf8(given), given == expected);
  }
}

TEST(Utf8, ValidPrefixEndsWhereTheFirstIllFormedPartBegins) {
  EXPECT_EQ(ValidUtf8Prefix(""), 0U);
  EXPECT_EQ(ValidUtf8Prefix("abc\xC3\xA9"), 5U);
  EXPECT_EQ(ValidUtf8Prefix("a long text in ASCII\xFFx"), 20U);
  EXPECT_EQ(ValidUtf8Prefix("a\xE2\x82"), 1U);  // cut short
  EXPECT_EQ(ValidUtf8Prefix("\xC3\xA9\xED\xA0\x80"), 2U);
}

TEST(Utf8, CompletePrefixHoldsBackOnlyWhatMoreBytesCouldComplete) {
  EXPECT_EQ(CompleteUtf8Prefix(""), 0U);
  EXPECT_EQ(CompleteUtf8Prefix("abc"), 3U);
  EXPECT_EQ(CompleteUtf8Prefix("\xF0\x9F\x98\x80"), 4U);
  EXPECT_EQ(CompleteUtf8Prefix("a\xE2\x82"), 1U);
  EXPECT_EQ(CompleteUtf8Prefix("a\xED\xA0"), 3U);  // no character begins so
  EXPECT_EQ(CompleteUtf8Prefix("a\xC0"), 2U);      // nor so
  EXPECT_EQ(CompleteUtf8Prefix("\x80\x80\x80"), 3U);
}

// What lets the detokenizer work on pieces: judging the certain part alone gives what judging the whole gives.
TEST(Utf8, ReplacementDistributesOverACompletePrefix) {
  std::mt19937 random(1);
  const std::string alphabet("a\x80\xBF\xC2\xE0\xA0\x9F\xED\xF0\x90\x8F\xF4\xFF", 13);
  for (int round = 0; round < 20000; ++round) {
    std::string text;
    for (size_t size = random() % 12; text.size() < size;) text += alphabet[random() % alphabet.size()];
    for (size_t cut = 0; cut <= text.size(); ++cut) {
      const size_t certain = CompleteUtf8Prefix(text.substr(0, cut));
      ASSERT_LE(cut - certain, 3U);
      ASSERT_EQ(ReplaceInvalidUtf8(text.substr(0, certain)) + ReplaceInvalidUtf8(text.substr(certain)),
                ReplaceInvalidUtf8(text));
    }
  }
}

TEST(Utf8, AsciiPrefixStopsAtTheFirstHighByte) {
  for (size_t size = 0; size < 40; ++size) {
    EXPECT_EQ(AsciiPrefix(std::string(size, 'a')), size);
    EXPECT_EQ(AsciiPrefix(std::string(size, 'a') + "\x80" + std::string(20, 'b')), size);
  }
}

}  // namespace
}  // namespace qnext
