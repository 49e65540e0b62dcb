// The small files of a synthetic checkpoint, as text: a byte-level tokenizer with the three special tokens of ChatML.
#pragma once

#include <string>

namespace qnext {

// tokenizer.json: one token per byte, plus <|endoftext|>, <|im_start|> and <|im_end|>.
std::string SyntheticTokenizerJson();
// tokenizer_config.json, with a plain ChatML template.
std::string SyntheticTokenizerConfigJson();
// generation_config.json: greedy, ends at <|im_end|> and <|endoftext|>.
std::string SyntheticGenerationConfigJson();

}  // namespace qnext
