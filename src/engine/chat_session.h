// ChatSession: a conversation with its history.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "engine/engine.h"

namespace qnext {

// What all answers of a session have in common.
struct ChatOptions {
  SamplingParams sampling;
  std::optional<int64_t> max_tokens;
  std::vector<std::string> stop;
  bool ignore_eos = false;
};

// Texts need not be UTF-8: what is not becomes U+FFFD, for templates know nothing else. One thread at a time; `engine`
// must outlive it and its chat() must be ok.
class ChatSession {
 public:
  ChatSession(Engine& engine, ChatOptions options);

  // Asks and remembers question and answer, also one that was cancelled. After an error the history is as before.
  // kResourceExhausted when the conversation no longer fits into the context.
  Result<GenerationResult> Ask(const std::string& text, const GenerationHooks& hooks);
  // Answers the last question again, with other random numbers. kInvalidArgument when there is none.
  Result<GenerationResult> Regenerate(const GenerationHooks& hooks);
  // Forgets the last question and its answer; false when there is none.
  bool Undo();
  // Forgets all but the system message.
  void Reset();
  // An empty text removes it. What was said stays.
  void SetSystem(const std::string& text);

  const std::vector<ChatMessage>& messages() const { return messages_; }
  // The last answer failed because the conversation no longer fits into the context.
  bool out_of_context() const { return out_of_context_; }

 private:
  bool HasSystem() const { return !messages_.empty() && messages_.front().role == "system"; }
  // Generates the answer to messages_ and appends it.
  Result<GenerationResult> Answer(const GenerationHooks& hooks);

  Engine& engine_;
  ChatOptions options_;
  std::vector<ChatMessage> messages_;
  bool out_of_context_ = false;
  uint64_t answers_ = 0;  // each takes its own random numbers, so that the same question can be answered otherwise
};

}  // namespace qnext
