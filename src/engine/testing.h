// For the tests of this folder: a model that says what it is told to say, and the tiny checkpoint's tokenizer.
#pragma once

#include <algorithm>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/engine.h"

namespace qnext {

inline std::string TinyFolder() { return std::string(QNEXT_SOURCE_DIR) + "/models/tiny"; }

inline Tokenizer TinyTokenizer() { return Tokenizer::Load(TinyFolder() + "/tokenizer.json").value(); }

// Answers Forward call n with logits that make `script[n]` certain, and the last entry for ever after.
class ScriptedModel : public LanguageModel {
 public:
  ScriptedModel(std::vector<int32_t> script, int64_t vocab_size, int64_t context)
      : script_(std::move(script)), vocab_size_(vocab_size), context_(context) {}

  int64_t vocab_size() const override { return vocab_size_; }
  int64_t context() const override { return context_; }
  void Reset() override {
    tokens = 0;
    ++resets;
  }

  Status Forward(std::span<const int32_t> ids, std::span<float> logits,
                 const std::function<bool()>& cancelled) override {
    if (cancelled && cancelled()) return Cancelled("cancelled");
    if (tokens + static_cast<int64_t>(ids.size()) > context_) return ResourceExhausted("the context is full");
    tokens += static_cast<int64_t>(ids.size());
    inputs.emplace_back(ids.begin(), ids.end());
    std::fill(logits.begin(), logits.end(), -20.0f);
    logits[static_cast<size_t>(script_[std::min(calls, script_.size() - 1)])] = 20;
    if (calls == broken_call) logits[0] = std::numeric_limits<float>::quiet_NaN();
    ++calls;
    return {};
  }

  std::vector<std::vector<int32_t>> inputs;  // of each Forward
  int64_t tokens = 0;
  int resets = 0;
  size_t calls = 0;
  size_t broken_call = std::numeric_limits<size_t>::max();  // the Forward that gives a NaN

 private:
  std::vector<int32_t> script_;
  int64_t vocab_size_;
  int64_t context_;
};

// An engine around a scripted model, and that model.
struct ScriptedEngine {
  std::unique_ptr<Engine> engine;
  ScriptedModel* model = nullptr;  // owned by the engine
};

constexpr int32_t kTinyMessageEnd = 4098;  // <|im_end|>, the eos token of the tiny checkpoint

// The model says `texts`, each followed by the end of a message.
inline ScriptedEngine MakeScriptedEngine(const std::vector<std::string>& texts, int64_t context = 1000) {
  Tokenizer tokenizer = TinyTokenizer();
  std::vector<int32_t> script;
  for (const std::string& text : texts) {
    const std::vector<int32_t> ids = tokenizer.Encode(text);
    script.insert(script.end(), ids.begin(), ids.end());
    script.push_back(kTinyMessageEnd);
  }
  auto model = std::make_unique<ScriptedModel>(script, tokenizer.vocab_end() + 10, context);
  ScriptedModel* raw = model.get();
  Result<ChatFormat> chat = ChatFormat::Load(TinyFolder(), "", tokenizer);
  return {std::make_unique<Engine>(EngineParts{.model = std::move(model),
                                               .tokenizer = std::move(tokenizer),
                                               .chat = std::move(chat),
                                               .eos_ids = {kTinyMessageEnd},
                                               .defaults = {},
                                               .info = {}}),
          raw};
}

}  // namespace qnext
