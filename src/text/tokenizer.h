// Byte-level BPE as tokenizer.json describes it. docs/text.md says which parts of the file are honoured.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace qnext {

// Immutable after Load; thread-safe. Added tokens match first in the raw text, leftmost-longest; each stretch between
// them gets the file's normalizer (NFC), its regex split, the byte-to-unicode mapping, then merges: lowest rank first,
// leftmost on ties. Invalid UTF-8 in the input: each maximal ill-formed part becomes U+FFFD before anything else (what
// Python's errors="replace" does).
class Tokenizer {
 public:
  // Reads tokenizer.json; whatever in it this class cannot honour is a kUnsupported error that names the field.
  static Result<Tokenizer> Load(const std::string& path);
  static Result<Tokenizer> Parse(const std::string& json_text, const std::string& path);

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  // No BOS or EOS is added.
  std::vector<int32_t> Encode(std::string_view text) const;
  // The same, with added tokens in `text` treated as plain text.
  std::vector<int32_t> EncodePlain(std::string_view text) const;

  // Both give at least that many tokens for `text`: as many as the longest token would need, after the normalization
  // that shortens most. Takes no time worth mentioning, where Encode takes seconds for tens of megabytes.
  int64_t LeastTokens(std::string_view text) const;

  // The bytes a token stands for (for an added token, its literal content); empty for an id outside the vocabulary.
  std::string_view TokenBytes(int32_t id) const;
  bool IsSpecial(int32_t id) const;  // an added token with special = true
  bool IsAdded(int32_t id) const;
  std::optional<int32_t> FindAdded(std::string_view content) const;

  // One past the highest id of vocabulary and added tokens; logits from here on are padding.
  int32_t vocab_end() const;

  // Whole-text decoding: U+FFFD for invalid bytes, special tokens left out if `skip_special`.
  std::string Decode(const std::vector<int32_t>& ids, bool skip_special) const;

 private:
  struct Impl;
  explicit Tokenizer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace qnext
