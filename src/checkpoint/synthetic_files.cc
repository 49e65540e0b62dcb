#include "checkpoint/synthetic_files.h"

#include <nlohmann/json.hpp>
#include <string_view>

namespace qnext {
namespace {

constexpr std::string_view kChatTemplate =
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}{%- "
    "endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}";

// The character that stands for a byte in byte-level BPE vocabularies (GPT-2's table): printable Latin-1 for itself,
// the rest from U+0100 on, in order.
std::string ByteCharacter(int byte) {
  const auto printable = [](int b) {
    return (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || (b >= 0xae && b <= 0xff);
  };
  int code = byte;
  if (!printable(byte)) {
    code = 256;
    for (int b = 0; b < byte; ++b) code += printable(b) ? 0 : 1;
  }
  if (code < 0x80) return std::string(1, static_cast<char>(code));
  return {static_cast<char>(0xc0 | (code >> 6)), static_cast<char>(0x80 | (code & 0x3f))};
}

}  // namespace

std::string SyntheticTokenizerJson() {
  nlohmann::ordered_json vocab, added = nlohmann::ordered_json::array();
  for (int byte = 0; byte < 256; ++byte) vocab[ByteCharacter(byte)] = byte;
  int id = 256;
  for (const char* content : {"<|endoftext|>", "<|im_start|>", "<|im_end|>"}) {
    added.push_back({{"id", id++},
                     {"content", content},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
  }
  const nlohmann::ordered_json byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", false}, {"use_regex", false}};
  return nlohmann::ordered_json({{"version", "1.0"},
                                 {"truncation", nullptr},
                                 {"padding", nullptr},
                                 {"added_tokens", added},
                                 {"normalizer", nullptr},
                                 {"pre_tokenizer", byte_level},
                                 {"post_processor", nullptr},
                                 {"decoder", byte_level},
                                 {"model",
                                  {{"type", "BPE"},
                                   {"dropout", nullptr},
                                   {"unk_token", nullptr},
                                   {"continuing_subword_prefix", ""},
                                   {"end_of_word_suffix", ""},
                                   {"fuse_unk", false},
                                   {"byte_fallback", false},
                                   {"vocab", vocab},
                                   {"merges", nlohmann::ordered_json::array()}}}})
      .dump();
}

std::string SyntheticTokenizerConfigJson() {
  return nlohmann::ordered_json({{"tokenizer_class", "Qwen2Tokenizer"},
                                 {"eos_token", "<|im_end|>"},
                                 {"pad_token", "<|endoftext|>"},
                                 {"bos_token", nullptr},
                                 {"chat_template", std::string(kChatTemplate)}})
      .dump(1);
}

std::string SyntheticGenerationConfigJson() { return R"({"eos_token_id": [258, 256], "do_sample": false})"; }

}  // namespace qnext
