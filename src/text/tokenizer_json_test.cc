#include "text/tokenizer_json.h"

#include <gtest/gtest.h>

#include <functional>
#include <random>
#include <string>
#include <vector>

#include "text/small_tokenizer.h"
#include "text/tokenizer.h"

namespace qnext {
namespace {

using nlohmann::json;

struct Case {
  StatusCode code;
  std::string message;  // how the message goes on after the path
  std::function<void(json&)> spoil;
};

TEST(TokenizerJson, NamesWhatItCannotHonourAndWhatIsWrong) {
  constexpr auto kUnsupported = StatusCode::kUnsupported;
  constexpr auto kCorrupt = StatusCode::kCorrupt;
  const std::vector<Case> cases = {
      {kUnsupported, "tokenizer.extra: not known", [](json& j) { j["extra"] = 1; }},
      {kUnsupported, "version: ", [](json& j) { j["version"] = "2.0"; }},
      {kUnsupported, "tokenizer.truncation: only null is supported", [](json& j) { j["truncation"] = json::object(); }},
      {kUnsupported, "tokenizer.padding: only null is supported", [](json& j) { j["padding"] = json::object(); }},
      {kUnsupported, "normalizer.type: \"NFKC\" is not supported", [](json& j) { j["normalizer"]["type"] = "NFKC"; }},
      {kCorrupt, "normalizer.type: ", [](json& j) { j["normalizer"] = json::object(); }},
      {kCorrupt, "normalizer: not an object", [](json& j) { j["normalizer"] = "NFC"; }},
      {kCorrupt, "pre_tokenizer: not an object", [](json& j) { j["pre_tokenizer"] = nullptr; }},
      {kUnsupported, "pre_tokenizer.type: \"Metaspace\"",
       [](json& j) {
         j["pre_tokenizer"] = {{"type", "Metaspace"}};
       }},
      {kCorrupt, "pre_tokenizer.pretokenizers: ", [](json& j) { j["pre_tokenizer"]["pretokenizers"] = 3; }},
      {kUnsupported, "pre_tokenizer: one without ByteLevel is not supported",
       [](json& j) { j["pre_tokenizer"]["pretokenizers"] = json::array(); }},
      {kUnsupported, "pre_tokenizer.pretokenizers[2]: a step after ByteLevel is not supported",
       [](json& j) { j["pre_tokenizer"]["pretokenizers"].push_back(j["pre_tokenizer"]["pretokenizers"][0]); }},
      {kUnsupported, "pre_tokenizer.pretokenizers[0].behavior: \"Removed\"",
       [](json& j) { j["pre_tokenizer"]["pretokenizers"][0]["behavior"] = "Removed"; }},
      {kUnsupported, "pre_tokenizer.pretokenizers[0].invert: true is not supported",
       [](json& j) { j["pre_tokenizer"]["pretokenizers"][0]["invert"] = true; }},
      {kUnsupported, "pre_tokenizer.pretokenizers[0].pattern.String: not known",
       [](json& j) {
         j["pre_tokenizer"]["pretokenizers"][0]["pattern"] = {{"String", " "}};
       }},
      {kCorrupt, "pre_tokenizer.pretokenizers[0].pattern: not an object",
       [](json& j) { j["pre_tokenizer"]["pretokenizers"][0].erase("pattern"); }},
      {kUnsupported, "pre_tokenizer: regex: \\w at byte 0",
       [](json& j) { j["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = R"(\w+)"; }},
      {kUnsupported, "pre_tokenizer.pretokenizers[1].add_prefix_space: true",
       [](json& j) { j["pre_tokenizer"]["pretokenizers"][1]["add_prefix_space"] = true; }},
      {kUnsupported, "post_processor.type: \"TemplateProcessing\"",
       [](json& j) { j["post_processor"]["type"] = "TemplateProcessing"; }},
      {kUnsupported, "decoder: null", [](json& j) { j.erase("decoder"); }},
      {kUnsupported, "decoder.type: \"WordPiece\"", [](json& j) { j["decoder"]["type"] = "WordPiece"; }},
      {kCorrupt, "model: missing", [](json& j) { j.erase("model"); }},
      {kCorrupt, "model: not an object", [](json& j) { j["model"] = 1; }},
      {kUnsupported, "model.type: \"Unigram\"", [](json& j) { j["model"]["type"] = "Unigram"; }},
      {kUnsupported, "model.dropout: only null is supported", [](json& j) { j["model"]["dropout"] = 0.1; }},
      {kUnsupported, "model.unk_token: only null is supported", [](json& j) { j["model"]["unk_token"] = "<unk>"; }},
      {kUnsupported,
       "model.continuing_subword_prefix: ", [](json& j) { j["model"]["continuing_subword_prefix"] = "##"; }},
      {kUnsupported, "model.end_of_word_suffix: ", [](json& j) { j["model"]["end_of_word_suffix"] = "</w>"; }},
      {kUnsupported, "model.byte_fallback: true", [](json& j) { j["model"]["byte_fallback"] = true; }},
      {kUnsupported, "model.fuse_unk: true", [](json& j) { j["model"]["fuse_unk"] = true; }},
      {kCorrupt, "model.ignore_merges: ", [](json& j) { j["model"]["ignore_merges"] = "yes"; }},
      {kUnsupported, "model.scores: not known", [](json& j) { j["model"]["scores"] = 1; }},
      {kCorrupt, "model.vocab: missing", [](json& j) { j["model"].erase("vocab"); }},
      {kCorrupt, "model.vocab: missing", [](json& j) { j["model"]["vocab"] = json::array(); }},
      {kCorrupt, "model.vocab: \"A\": not an id", [](json& j) { j["model"]["vocab"]["A"] = -65; }},
      {kCorrupt, "model.vocab: \"A\": not an id", [](json& j) { j["model"]["vocab"]["A"] = 65.5; }},
      {kCorrupt, "model.vocab: \"A\": not an id", [](json& j) { j["model"]["vocab"]["A"] = "65"; }},
      {kCorrupt, "model.vocab: \"A\": id 18446744073709551615",
       [](json& j) { j["model"]["vocab"]["A"] = 18446744073709551615U; }},
      {kCorrupt, "model.vocab: \"A\": id 261 with 261 pieces", [](json& j) { j["model"]["vocab"]["A"] = 261; }},
      {kCorrupt, "model.vocab: \"B\": id 66 is taken", [](json& j) { j["model"]["vocab"]["A"] = 66; }},
      {kCorrupt, "model.merges: missing", [](json& j) { j["model"].erase("merges"); }},
      {kCorrupt, "model.merges: missing", [](json& j) { j["model"]["merges"] = "h e"; }},
      {kCorrupt, "model.merges: 0: neither", [](json& j) { j["model"]["merges"][0] = 7; }},
      {kCorrupt, "model.merges: 0: neither", [](json& j) { j["model"]["merges"][0] = "h e l"; }},
      {kCorrupt, "model.merges: 0: neither",
       [](json& j) {
         j["model"]["merges"][0] = {"h", "e", "l"};
       }},
      {kCorrupt, "model.merges: 0: neither",
       [](json& j) {
         j["model"]["merges"][0] = {"h", 5};
       }},
      {kCorrupt, "model.merges: 1: \"x\" and \"y\" or",
       [](json& j) {
         j["model"]["merges"][1] = {"x", "y"};
       }},
      {kCorrupt, "model.merges: 5: \"h\" and \"e\" merge twice",
       [](json& j) {
         j["model"]["merges"].push_back({"h", "e"});
       }},
      {kCorrupt, "added_tokens: not an array", [](json& j) { j["added_tokens"] = json::object(); }},
      {kCorrupt, "added_tokens[0]: not an object", [](json& j) { j["added_tokens"][0] = "<a>"; }},
      {kCorrupt, "added_tokens[1].id: missing", [](json& j) { j["added_tokens"][1].erase("id"); }},
      {kCorrupt, "added_tokens[1].id: missing", [](json& j) { j["added_tokens"][1]["id"] = -1; }},
      {kCorrupt, "added_tokens[1].id: missing", [](json& j) { j["added_tokens"][1]["id"] = 1ULL << 40; }},
      {kCorrupt, "added_tokens[1].id: 261 for", [](json& j) { j["added_tokens"][1]["id"] = 261; }},
      {kCorrupt, "added_tokens[2].id: 300 for", [](json& j) { j["added_tokens"][2]["id"] = 300; }},
      {kCorrupt, "added_tokens[3].id: 264 for \"hello\", which the tokens before it make 259",
       [](json& j) { j["added_tokens"].push_back(SmallAddedToken(264, "hello", false)); }},
      {kCorrupt, "added_tokens[1].content: missing", [](json& j) { j["added_tokens"][1].erase("content"); }},
      {kCorrupt, "added_tokens[1].content: empty", [](json& j) { j["added_tokens"][1]["content"] = ""; }},
      {kCorrupt, "added_tokens[1].content: \"<a>\" is there twice",
       [](json& j) { j["added_tokens"][1]["content"] = "<a>"; }},
      {kUnsupported, "added_tokens[1].content: \"é\" is spelled",
       [](json& j) { j["added_tokens"][1]["content"] = "é"; }},
      {kCorrupt, "added_tokens[1].special: missing", [](json& j) { j["added_tokens"][1]["special"] = 1; }},
      {kCorrupt, "added_tokens[1].lstrip: missing", [](json& j) { j["added_tokens"][1].erase("lstrip"); }},
      {kUnsupported, "added_tokens[1].single_word: true", [](json& j) { j["added_tokens"][1]["single_word"] = true; }},
      {kUnsupported, "added_tokens[1].lstrip: true", [](json& j) { j["added_tokens"][1]["lstrip"] = true; }},
      {kUnsupported, "added_tokens[1].rstrip: true", [](json& j) { j["added_tokens"][1]["rstrip"] = true; }},
      {kUnsupported, "added_tokens[1].normalized: true", [](json& j) { j["added_tokens"][1]["normalized"] = true; }},
      {kUnsupported, "added_tokens[1].color: not known", [](json& j) { j["added_tokens"][1]["color"] = "red"; }},
  };
  ASSERT_TRUE(Tokenizer::Parse(SmallTokenizerJson().dump(), "dir/tokenizer.json").ok());
  for (const Case& one : cases) {
    json spec = SmallTokenizerJson();
    one.spoil(spec);
    const Status status = Tokenizer::Parse(spec.dump(), "dir/tokenizer.json").status();
    EXPECT_EQ(status.code(), one.code) << one.message << " but: " << status.message();
    EXPECT_TRUE(status.message().starts_with("dir/tokenizer.json: " + one.message))
        << one.message << " but: " << status.message();
  }
}

TEST(TokenizerJson, AKeyThatStandsTwiceIsRefused) {
  std::string text = SmallTokenizerJson().dump();
  text.insert(text.find("\"A\":"), "\"A\":65,");
  EXPECT_EQ(Tokenizer::Parse(text, "t").status().message(), "t: the key \"A\" occurs twice in one object");
}

TEST(TokenizerJson, LongValuesAreCutInMessages) {
  json spec = SmallTokenizerJson();
  spec["model"]["vocab"][std::string(1 << 20, 'A')] = "text";
  EXPECT_LT(Tokenizer::Parse(spec.dump(), "t").status().message().size(), 200u);
}

TEST(TokenizerJson, AMissingByteIsRefused) {
  json spec = SmallTokenizerJson();
  spec["model"]["vocab"]["another"] = 65;
  spec["model"]["vocab"].erase("A");
  const Status status = Tokenizer::Parse(spec.dump(), "t").status();
  EXPECT_EQ(status.message(), "t: model.vocab: no token for the byte 0x41");
}

TEST(TokenizerJson, AnAddedTokenMayBePartOfTheVocabulary) {
  json spec = SmallTokenizerJson();
  spec["added_tokens"].push_back(SmallAddedToken(259, "hello", true));
  const Tokenizer tokenizer = Tokenizer::Parse(spec.dump(), "t").value();
  EXPECT_EQ(tokenizer.Encode("xhellox"), (std::vector<int32_t>{'x', 259, 'x'}));
  EXPECT_TRUE(tokenizer.IsSpecial(259));
  EXPECT_EQ(tokenizer.vocab_end(), 264);
}

TEST(TokenizerJson, WhatIsNotJsonIsCorrupt) {
  for (const std::string& text :
       {std::string(), std::string("{"), std::string("null"), std::string("[]"), std::string("{\"model\": \"\xFF\"}"),
        std::string(1 << 20, '['), "{\"model\":" + std::string(1 << 16, '[') + std::string(1 << 16, ']') + "}"}) {
    EXPECT_FALSE(Tokenizer::Parse(text, "t").ok()) << text.substr(0, 20);
  }
}

TEST(TokenizerJson, ATruncatedFileIsCorrupt) {
  const std::string text = SmallTokenizerJson().dump();
  for (size_t size = 0; size < text.size(); size += 1 + size / 64) {
    EXPECT_EQ(Tokenizer::Parse(text.substr(0, size), "t").status().code(), StatusCode::kCorrupt) << size;
  }
}

TEST(TokenizerJson, SpoiledBytesNeverCrash) {
  std::mt19937 random(17);
  const std::string text = SmallTokenizerJson().dump();
  int refused = 0;
  for (int round = 0; round < 1500; ++round) {
    std::string spoiled = text;
    for (int i = 0; i < 3; ++i) spoiled[random() % spoiled.size()] = "\"{}[]:,0-9ex\\\x80 t"[random() % 17];
    const Result<Tokenizer> tokenizer = Tokenizer::Parse(spoiled, "t");
    if (tokenizer.ok()) {
      tokenizer->Decode(tokenizer->Encode("hello w <a> é"), /*skip_special=*/false);
    } else {
      ++refused;
    }
  }
  EXPECT_GT(refused, 100);
}

}  // namespace
}  // namespace qnext
