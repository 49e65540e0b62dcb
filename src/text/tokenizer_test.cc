#include "text/tokenizer.h"

#include <gtest/gtest.h>

#include <array>
#include <iterator>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "text/small_tokenizer.h"
#include "text/utf8.h"

namespace qnext {
namespace {

using Ids = std::vector<int32_t>;
using nlohmann::json;

Tokenizer Parse(const json& spec) { return Tokenizer::Parse(spec.dump(), "small").value(); }

const Tokenizer& Tiny() {
  static const Tokenizer tokenizer = Tokenizer::Load(QNEXT_SOURCE_DIR "/models/tiny/tokenizer.json").value();
  return tokenizer;
}

// What the Python package gives; compare_tokenizer.py compares on thousands of strings more.
TEST(Tokenizer, GivesTheIdsOfThePackageOnTheTinyVocabulary) {
  const std::vector<std::pair<std::string, Ids>> cases = {
      {"", {}},
      {"Hello, world! It's 2024.", {39, 301, 385, 11, 1879, 0, 1084, 594, 220, 17, 15, 17, 19, 13}},
      {"<|im_start|>user\nWhat is 12+34?<|im_end|>\n",
       {4097, 872, 198, 3838, 374, 220, 16, 17, 10, 18, 19, 30, 4098, 198}},
      {"<tool_call>{\"a\": 1}</tool_call>", {4110, 90, 1, 64, 788, 220, 16, 92, 4111}},
      {"  two  spaces\n\n\tand tabs   ", {220, 1378, 220, 978, 2434, 271, 197, 437, 259, 3435, 262}},
      {"Cafe\u0301 и щука", {34, 2577, 963, 1278, 116, 220, 141, 231, 3780, 140, 118, 1478}},
      {"天地 12345 😀", {161, 97, 102, 161, 250, 108, 220, 16, 17, 18, 19, 20, 220, 172, 253, 246, 222}},
      {"I'VE it\u2019s we'\u017F", {40, 6, 53, 36, 432, 748, 582, 6, 129, 123}},
      {"<|im_start", {27, 91, 318, 1261, 471}},
      {"e\u0301\u0323", {157, 118, 117, 136, 223}},
      {"\u180E \u0085\u2028x", {157, 254, 236, 2139, 227, 378, 101, 87}},
      {"a\U00011935\U00011930 \u0C3C\u0345", {64, 172, 239, 97, 113, 172, 239, 97, 108, 220, 156, 108, 120, 137, 227}},
  };
  for (const auto& [text, ids] : cases) {
    EXPECT_EQ(Tiny().Encode(text), ids) << text;
    const bool in_form_c = text.find("\u0301") == std::string::npos;
    if (in_form_c) {
      EXPECT_EQ(Tiny().Decode(ids, /*skip_special=*/false), text);
    }
  }
}

TEST(Tokenizer, TheLeastNumberOfTokensIsNeverMoreThanTheirNumber) {
  std::string longest;
  for (int32_t id = 0; id < Tiny().vocab_end(); ++id) {
    if (Tiny().TokenBytes(id).size() > longest.size()) longest = Tiny().TokenBytes(id);
  }
  std::string many;
  for (int i = 0; i < 100; ++i) many += longest;
  EXPECT_EQ(Tiny().LeastTokens(many), 100);
  EXPECT_EQ(Tiny().LeastTokens(""), 0);
  for (const std::string& text : {many, std::string("e\u0301"), std::string("\u1FBE\u0308\u0301"),
                                  std::string("\xFF\xFF"), std::string("<|im_start|>user\n天地 😀")}) {
    EXPECT_LE(Tiny().LeastTokens(text), std::ssize(Tiny().Encode(text))) << text;
    EXPECT_LE(Tiny().LeastTokens(text), std::ssize(Tiny().EncodePlain(text))) << text;
  }
}

TEST(Tokenizer, KnowsTheAddedTokensOfTheTinyVocabulary) {
  EXPECT_EQ(Tiny().vocab_end(), 4122);
  EXPECT_EQ(Tiny().FindAdded("<|im_end|>"), 4098);
  EXPECT_EQ(Tiny().FindAdded("<|im_end|"), std::nullopt);
  EXPECT_EQ(Tiny().FindAdded("<|im_end|> "), std::nullopt);
  EXPECT_EQ(Tiny().FindAdded(""), std::nullopt);
  EXPECT_EQ(Tiny().FindAdded("the"), std::nullopt);
  EXPECT_TRUE(Tiny().IsSpecial(4098));
  EXPECT_TRUE(Tiny().IsAdded(4110));
  EXPECT_FALSE(Tiny().IsSpecial(4110));  // <tool_call>
  EXPECT_FALSE(Tiny().IsAdded(64));
  EXPECT_FALSE(Tiny().IsAdded(-1));
  EXPECT_EQ(Tiny().TokenBytes(4098), "<|im_end|>");
  EXPECT_EQ(Tiny().TokenBytes(220), " ");
  EXPECT_EQ(Tiny().TokenBytes(172), "\xF0");
  for (const int32_t id : {-1, INT32_MIN, 4122, INT32_MAX}) EXPECT_EQ(Tiny().TokenBytes(id), "");
}

TEST(Tokenizer, EveryTokenOfTheTinyVocabularyComesBack) {
  for (int32_t id = 0; id < Tiny().vocab_end(); ++id) {
    const std::string bytes(Tiny().TokenBytes(id));
    ASSERT_FALSE(bytes.empty()) << id;
    if (!IsValidUtf8(bytes)) continue;
    ASSERT_EQ(Tiny().Decode(Tiny().Encode(bytes), /*skip_special=*/false), bytes) << id;
  }
}

TEST(Tokenizer, AddedTokensAreLeftmostLongestUnlessTheTextIsPlain) {
  const Tokenizer tokenizer = Parse(SmallTokenizerJson());
  EXPECT_EQ(tokenizer.Encode("<a>"), (Ids{261}));
  EXPECT_EQ(tokenizer.Encode("<a><b>"), (Ids{263}));
  EXPECT_EQ(tokenizer.Encode("<a><c"), (Ids{261, '<', 'c'}));
  EXPECT_EQ(tokenizer.Encode("<<ab>hello<a"), (Ids{'<', 262, 259, '<', 'a'}));
  EXPECT_EQ(tokenizer.Encode("<a><a><b>"), (Ids{261, 263}));
  EXPECT_EQ(tokenizer.EncodePlain("<a>"), (Ids{'<', 'a', '>'}));
  // A token cuts the text: what stands on its two sides is normalized and split apart.
  EXPECT_EQ(tokenizer.Encode("e<a>\u0301 w"), (Ids{'e', 261, 0xCC, 0x81, 260}));
}

TEST(Tokenizer, InvalidUtf8IsReplacedFirst) {
  const Tokenizer tokenizer = Parse(SmallTokenizerJson());
  const Ids replacement = {0xEF, 0xBF, 0xBD};
  EXPECT_EQ(tokenizer.Encode("\xF0\x9F\x98"), replacement);
  EXPECT_EQ(tokenizer.EncodePlain("\xFF"), replacement);
  EXPECT_EQ(tokenizer.Encode("\xE2\x82<a>"), (Ids{0xEF, 0xBF, 0xBD, 261}));
  EXPECT_EQ(tokenizer.Encode(std::string_view("\0", 1)), (Ids{0}));
}

TEST(Tokenizer, DecodesBytesThatSeveralTokensMakeUp) {
  const Tokenizer tokenizer = Parse(SmallTokenizerJson());
  EXPECT_EQ(tokenizer.Decode({0xE2, 0x82, 0xAC, 259, 261, 262}, /*skip_special=*/false), "€hello<a><ab>");
  EXPECT_EQ(tokenizer.Decode({0xE2, 261, 0x82, 0xAC}, /*skip_special=*/true), "€");
  EXPECT_EQ(tokenizer.Decode({0xE2, 261, 0x82, -5, 264}, /*skip_special=*/false), "\uFFFD<a>\uFFFD");
}

TEST(Tokenizer, ReadsBothSpellingsOfMergesAndIgnoreMerges) {
  json spec = SmallTokenizerJson();
  for (json& merge : spec["model"]["merges"]) {
    merge = merge[0].get<std::string>() + " " + merge[1].get<std::string>();
  }
  EXPECT_EQ(Parse(spec).Encode("hello w"), (Ids{259, 260}));
  spec["model"]["merges"] = {"l l"};
  EXPECT_EQ(Parse(spec).Encode("hello"), (Ids{'h', 'e', 257, 'o'}));
  spec["model"]["ignore_merges"] = true;
  EXPECT_EQ(Parse(spec).Encode("hello"), (Ids{259}));
}

TEST(Tokenizer, ReadsAPlainByteLevelAndNoNormalizer) {
  json spec = SmallTokenizerJson();
  spec["pre_tokenizer"] = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}};
  spec["normalizer"] = nullptr;
  spec.erase("post_processor");
  spec.erase("added_tokens");
  EXPECT_EQ(Parse(spec).Encode("hell wo 12's"), (Ids{258, 260, 'o', ' ', '1', '2', '\'', 's'}));
  EXPECT_EQ(Parse(spec).Encode("e\u0301"), (Ids{'e', 0xCC, 0x81}));
  EXPECT_EQ(Parse(spec).vocab_end(), 261);
}

// A megabyte of one thing, each of which invites something quadratic: in the split, the merges, the normalizer, the
// search for added tokens, the repair of bytes.
TEST(Tokenizer, LongRunsAreEncodedWhole) {
  for (const std::string unit : {" ", "\n", "7", "a", "<", "<|im_", "\xFF", "é", "\u0345\u0334", "😀", " x"}) {
    std::string text;
    while (text.size() < 1 << 20) text += unit;
    const Ids ids = Tiny().Encode(text);
    const std::string decoded = Tiny().Decode(ids, /*skip_special=*/false);
    if (unit == "\u0345\u0334") {
      EXPECT_EQ(decoded.size(), text.size());  // in another order
    } else {
      EXPECT_TRUE(decoded == ReplaceInvalidUtf8(text)) << unit;
    }
  }
}

TEST(Tokenizer, ManyThreadsMayUseOne) {
  const std::string text = "It's é\u0323 <|im_start|> 12\n\n天地" + std::string(200, 'a');
  const Ids expected = Tiny().Encode(text);
  std::array<int, 4> agreed{};
  std::vector<std::thread> threads;
  threads.reserve(agreed.size());
  for (int& count : agreed) {
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) count += Tiny().Encode(text) == expected ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(agreed, (std::array<int, 4>{200, 200, 200, 200}));
}

TEST(Tokenizer, AMissingFileIsAnError) {
  const Status status = Tokenizer::Load("/nonexistent/tokenizer.json").status();
  EXPECT_FALSE(status.ok());
  EXPECT_NE(status.message().find("/nonexistent/tokenizer.json"), std::string::npos);
}

}  // namespace
}  // namespace qnext
