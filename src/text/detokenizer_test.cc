#include "text/detokenizer.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "text/small_tokenizer.h"
#include "text/utf8.h"

namespace qnext {
namespace {

const std::string kBad = "\xEF\xBF\xBD";

Tokenizer Small() { return Tokenizer::Parse(SmallTokenizerJson().dump(), "small").value(); }

TEST(Detokenizer, HoldsBackAnUnfinishedCharacter) {
  const Tokenizer tokenizer = Small();
  Detokenizer detokenizer(tokenizer, /*skip_special=*/false);
  EXPECT_EQ(detokenizer.Push(259), "hello");
  EXPECT_EQ(detokenizer.Push(0xF0), "");
  EXPECT_EQ(detokenizer.Push(0x9F), "");
  EXPECT_EQ(detokenizer.Push(0x98), "");
  EXPECT_EQ(detokenizer.Push(0x80), "\xF0\x9F\x98\x80");
  EXPECT_EQ(detokenizer.Push(0xE2), "");
  EXPECT_EQ(detokenizer.Push(0x82), "");
  EXPECT_EQ(detokenizer.Finish(), kBad);
  EXPECT_EQ(detokenizer.Finish(), "");
}

TEST(Detokenizer, AnAddedTokenEndsAnUnfinishedCharacterUnlessItIsLeftOut) {
  const Tokenizer tokenizer = Small();
  Detokenizer shown(tokenizer, /*skip_special=*/false);
  EXPECT_EQ(shown.Push(0xE2), "");
  EXPECT_EQ(shown.Push(261), kBad + "<a>");
  EXPECT_EQ(shown.Push(0x82), kBad);

  Detokenizer skipped(tokenizer, /*skip_special=*/true);
  EXPECT_EQ(skipped.Push(0xE2), "");
  EXPECT_EQ(skipped.Push(0x82), "");
  EXPECT_EQ(skipped.Push(261), "");
  EXPECT_EQ(skipped.Push(0xAC), "\xE2\x82\xAC");
  EXPECT_EQ(skipped.Push(262), "<ab>");  // added, but not special
  EXPECT_EQ(skipped.Push(99999), "");
  EXPECT_EQ(skipped.Push(-1), "");
}

TEST(Detokenizer, PiecesAddUpToTheWholeDecode) {
  const Tokenizer tokenizer = Small();
  std::mt19937 random(5);
  for (int round = 0; round < 20000; ++round) {
    std::vector<int32_t> ids;
    for (size_t size = random() % 12; ids.size() < size;) {
      // Mostly bytes of unfinished and broken characters.
      ids.push_back(static_cast<int32_t>(random() % 4 == 0 ? 250 + random() % 16 : 0x80 + random() % 0x80));
    }
    for (const bool skip_special : {false, true}) {
      Detokenizer detokenizer(tokenizer, skip_special);
      std::string text;
      for (const int32_t id : ids) {
        const std::string_view piece = detokenizer.Push(id);
        ASSERT_TRUE(IsValidUtf8(piece));
        text += piece;
      }
      text += detokenizer.Finish();
      ASSERT_EQ(text, tokenizer.Decode(ids, skip_special)) << testing::PrintToString(ids);
    }
  }
}

}  // namespace
}  // namespace qnext
