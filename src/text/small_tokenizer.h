// A tokenizer.json made by hand, for tests to load as it is or spoiled.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "text/byte_level.h"

namespace qnext {

inline nlohmann::json SmallAddedToken(int id, const std::string& content, bool special) {
  return {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", special}};
}

// Ids 0 to 255 are the bytes, then "he" 256, "ll" 257, "hell" 258, "hello" 259, " w" 260, then the added tokens "<a>"
// 261 (special), "<ab>" 262 and "<a><b>" 263.
inline nlohmann::json SmallTokenizerJson() {
  nlohmann::json vocab = nlohmann::json::object();
  for (int byte = 0; byte < 256; ++byte) vocab[SpellBytes(std::string(1, static_cast<char>(byte)))] = byte;
  nlohmann::json merges = nlohmann::json::array();
  const auto add = [&](const std::string& left, const std::string& right) {
    vocab[SpellBytes(left + right)] = vocab.size();
    merges.push_back(nlohmann::json::array({SpellBytes(left), SpellBytes(right)}));
  };
  add("h", "e");
  add("l", "l");
  add("he", "ll");
  add("hell", "o");
  add(" ", "w");
  const nlohmann::json byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", false}, {"use_regex", false}};
  const nlohmann::json split = {{"type", "Split"},
                                {"pattern", {{"Regex", R"( ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"}}},
                                {"behavior", "Isolated"},
                                {"invert", false}};
  return {
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens",
       {SmallAddedToken(261, "<a>", true), SmallAddedToken(262, "<ab>", false), SmallAddedToken(263, "<a><b>", false)}},
      {"normalizer", {{"type", "NFC"}}},
      {"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", {split, byte_level}}}},
      {"post_processor", byte_level},
      {"decoder", byte_level},
      {"model",
       {{"type", "BPE"},
        {"dropout", nullptr},
        {"unk_token", nullptr},
        {"continuing_subword_prefix", ""},
        {"end_of_word_suffix", ""},
        {"fuse_unk", false},
        {"byte_fallback", false},
        {"ignore_merges", false},
        {"vocab", vocab},
        {"merges", merges}}},
  };
}

}  // namespace qnext
