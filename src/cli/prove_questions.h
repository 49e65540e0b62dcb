// The questions of qnext prove, with what their answers must hold.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/model_config.h"

namespace qnext {

struct KnownQuestion {
  const char* question;
  std::vector<const char*> answers;  // one of them must stand in the answer, as whole words, in any case
};

// What a proof knows of a kind of model: chosen by the shape in its config.json and the size of its vocabulary.
struct KnownModel {
  std::string name;                      // "Qwen3-Next-80B-A3B", "the bundled tiny model", or what is known of another
  std::vector<KnownQuestion> questions;  // empty: none suit it
  int64_t needed = 0;                    // right answers; 0: answers are printed and not judged
  struct Range {
    double low = 0, high = 0;
    std::string origin;  // how it was chosen
  };
  std::optional<Range> perplexity;  // of ProofText(); absent: not known
};

// `vocab_end`: ids of its tokenizer.
KnownModel DescribeKnownModel(const ModelConfig& config, int32_t vocab_end);

// Whether one of `answers` stands in `text` as whole words (neither letter nor digit before or after it; a point or
// comma between digits belongs to a number), in any case.
bool HoldsAnswer(std::string_view text, const std::vector<const char*>& answers);

// Public-domain English of some hundred words (NOTICE).
std::string_view ProofText();

}  // namespace qnext
