#include "engine/chat_session.h"

#include <fmt/core.h>

#include <utility>

#include "base/check.h"
#include "text/utf8.h"

namespace qnext {

ChatSession::ChatSession(Engine& engine, ChatOptions options) : engine_(engine), options_(std::move(options)) {
  QNEXT_CHECK(engine.chat().ok(), "a session needs a chat format");
}

Result<GenerationResult> ChatSession::Ask(const std::string& text, const GenerationHooks& hooks) {
  messages_.push_back({.role = "user", .content = ReplaceInvalidUtf8(text)});
  Result<GenerationResult> result = Answer(hooks);
  if (!result.ok()) messages_.pop_back();
  return result;
}

Result<GenerationResult> ChatSession::Regenerate(const GenerationHooks& hooks) {
  if (messages_.empty() || messages_.back().role != "assistant") {
    return InvalidArgument("there is no answer to give again");
  }
  ChatMessage last = std::move(messages_.back());
  messages_.pop_back();
  Result<GenerationResult> result = Answer(hooks);
  if (!result.ok()) messages_.push_back(std::move(last));
  return result;
}

Result<GenerationResult> ChatSession::Answer(const GenerationHooks& hooks) {
  QNEXT_ASSIGN_OR_RETURN(const std::string prompt, engine_.chat()->Render(messages_));
  Request request;
  request.prompt_ids = engine_.tokenizer().Encode(prompt);
  request.sampling = options_.sampling;
  request.max_tokens = options_.max_tokens;
  request.stop = options_.stop;
  request.ignore_eos = options_.ignore_eos;
  request.eos_ids = engine_.ChatEosIds();
  request.stream = answers_;
  out_of_context_ = static_cast<int64_t>(request.prompt_ids.size()) >= engine_.context();
  if (out_of_context_) {
    return ResourceExhausted(
        fmt::format("the conversation has {} tokens and leaves no room for an answer in the "
                    "context of {}",
                    request.prompt_ids.size(), engine_.context()));
  }
  QNEXT_ASSIGN_OR_RETURN(GenerationResult result, engine_.Generate(request, hooks));
  ++answers_;
  messages_.push_back({.role = "assistant", .content = result.text});
  return result;
}

bool ChatSession::Undo() {
  if (messages_.empty() || messages_.back().role != "assistant") return false;
  messages_.resize(messages_.size() - 2);
  return true;
}

void ChatSession::Reset() { messages_.resize(HasSystem() ? 1 : 0); }

void ChatSession::SetSystem(const std::string& text) {
  if (HasSystem()) messages_.erase(messages_.begin());
  if (!text.empty()) messages_.insert(messages_.begin(), {.role = "system", .content = ReplaceInvalidUtf8(text)});
}

}  // namespace qnext
