#include "text/pre_tokenizer.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "text/split_pattern.h"

namespace qnext {
namespace {

using Pieces = std::vector<std::string>;

constexpr const char* kQwen =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

Pieces Split(const std::vector<std::string>& patterns, const std::string& text) {
  const Result<PreTokenizer> pre_tokenizer = PreTokenizer::Create(patterns);
  EXPECT_TRUE(pre_tokenizer.ok()) << pre_tokenizer.status().message();
  Pieces pieces;
  if (pre_tokenizer.ok()) pre_tokenizer->Split(text, [&](std::string_view piece) { pieces.emplace_back(piece); });
  return pieces;
}

TEST(PreTokenizer, CutsAsQwenDoes) {
  EXPECT_EQ(Split({kQwen}, "It's  12 o'CLOCK!\n\n  Yes"),
            (Pieces{"It", "'s", " ", " ", "1", "2", " o", "'CLOCK", "!\n\n", " ", " Yes"}));
  EXPECT_EQ(Split({kQwen}, "a   "), (Pieces{"a", "   "}));
  EXPECT_EQ(Split({kQwen}, "a   b"), (Pieces{"a", "  ", " b"}));
  EXPECT_EQ(Split({kQwen}, " \t\n\r\n x"), (Pieces{" \t\n\r\n", " x"}));
  EXPECT_EQ(Split({kQwen}, ""), Pieces{});
}

// The classes are those of the Python package, not of any library here; compare_tokenizer.py checks every code point.
TEST(PreTokenizer, PutsUnusualCharactersWhereThePackageDoes) {
  EXPECT_EQ(Split({R"(\s+)"}, "a\u0085\u2028\u3000b\u180E\u200Bc"),
            (Pieces{"a", "\u0085\u2028\u3000", "b\u180E\u200Bc"}));
  EXPECT_EQ(Split({R"(\p{Lu}+)"}, "a\u1C89\U00010D50b"), (Pieces{"a", "\u1C89\U00010D50", "b"}));  // Unicode 16
  EXPECT_EQ(Split({R"(\p{Cn}+)"}, "a\u0378\U000323B0b"), (Pieces{"a", "\u0378\U000323B0", "b"}));
  EXPECT_EQ(Split({R"((?i:'s|k))"}, "x'\u017Fy\u212Az'Sk"), (Pieces{"x", "'\u017F", "y", "\u212A", "z", "'S", "k"}));
  EXPECT_EQ(Split({R"(\p{Ll}|\p{Lu})"}, "\u017F\u212A"), (Pieces{"\u017F", "\u212A"}));
}

TEST(PreTokenizer, SplitsOneAfterTheOther) {
  EXPECT_EQ(Split({R"(\p{N}{1,3})", R"(\p{L}+)"}, "ab1234é-"), (Pieces{"ab", "123", "4", "é", "-"}));
  // A later pattern sees each piece alone: the space at the end of one is not followed by anything.
  EXPECT_EQ(Split({R"(\d)", R"(\s+(?!\S)|x)"}, "  7  x"), (Pieces{"  ", "7", " ", " ", "x"}));
  EXPECT_EQ(Split({}, "as it is"), (Pieces{"as it is"}));
}

TEST(PreTokenizer, LongRunsAreNoTrouble) {
  for (const std::string unit : {" ", "\n", "7", "a", "-", "'", "é", "\u3000"}) {
    std::string text;
    while (text.size() < 1 << 20) text += unit;
    for (const char* tail : {"", "x", "\n", " y"}) {
      size_t length = 0;
      const PreTokenizer pre_tokenizer = PreTokenizer::Create({kQwen}).value();
      pre_tokenizer.Split(text + tail, [&](std::string_view piece) { length += piece.size(); });
      EXPECT_EQ(length, text.size() + std::string(tail).size());
    }
  }
}

TEST(SplitPattern, TranslatesToClasses) {
  EXPECT_EQ(TranslateSplitPattern("a|(?i:s)").value(), R"([\x61]|(?:[\x53\x73\x9f]))");
  EXPECT_EQ(TranslateSplitPattern(R"([^\r\n]?)").value(), R"([\x00-\x09\x0b-\x0c\x0e-\xff]?)");
  EXPECT_EQ(TranslateSplitPattern(R"([a-c.\-]{1,3}(?!\S))").value(),
            R"([\x2d-\x2e\x61-\x63]{1,3}(?![\x00-\x08\x0e-\x1f\x21-\x95\x99-\x9d\x9f-\xff]))");
}

TEST(SplitPattern, ARangeMayReachTheEndOfAscii) {
  EXPECT_EQ(TranslateSplitPattern("[x-\x7F]").value(), R"([\x78-\x7f])");
  EXPECT_EQ(TranslateSplitPattern(std::string_view("[\0-\x7F]", 5)).value(), R"([\x00-\x7f])");
}

TEST(SplitPattern, RefusesWhatMeansSomethingElseOrTakesForever) {
  for (const char* pattern : {"",
                              "a|",
                              "(a",
                              "a)",
                              "(?:)",
                              ".",
                              "^a",
                              "a$",
                              R"(\w)",
                              R"(\b)",
                              R"(\h)",
                              R"(\x41)",
                              R"(\1)",
                              "\\",
                              "(?<=a)b",
                              "(?<n>a)",
                              "(?>a)",
                              "(?i)a",
                              "(?#x)",
                              "(*FAIL)",
                              "(a+)+",
                              "(a+)*",
                              "(?:a|b){2}",
                              "(?!a)?",
                              "a{,3}",
                              "a{x}",
                              "a{2}?",
                              "a{2}+",
                              "a{1",
                              "a{9999}",
                              "a**",
                              "a+?+",
                              "*a",
                              "[a",
                              "[]",
                              "[^]",
                              "[a[b]]",
                              "[a&&b]",
                              "[[:alpha:]]",
                              "[z-a]",
                              R"([\d-z])",
                              "[-a]",
                              R"(\p{Han})",
                              R"(\p{Letter})",
                              R"(\p{^L})",
                              R"(\pL)",
                              R"(\p{L)",
                              "é",
                              "[à-ú]",
                              "(?i:ss)",
                              "(?i:fi)",
                              "(?i:ST)",
                              R"((?i:\p{Lu}))",
                              "(?i:[a-z])",
                              R"([^\s\S])",
                              "a{3,1}"}) {
    const Status status = PreTokenizer::Create({pattern}).status();
    EXPECT_EQ(status.code(), StatusCode::kUnsupported) << pattern;
    EXPECT_NE(status.message().find("regex"), std::string::npos) << status.message();
  }
  EXPECT_EQ(TranslateSplitPattern(R"(\s+\w)").status().message(), R"(regex: \w at byte 3 of "\s+\w")");
  EXPECT_EQ(PreTokenizer::Create({"a*"}).status().message(), R"(regex: "a*" can match nothing at all)");
  std::string deep(200, '(');
  deep += "a" + std::string(200, ')');
  EXPECT_EQ(TranslateSplitPattern(deep).status().code(), StatusCode::kUnsupported);
}

}  // namespace
}  // namespace qnext
