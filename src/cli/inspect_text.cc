#include "cli/inspect_text.h"

#include <fmt/core.h>

#include "engine/chat_format.h"
#include "engine/engine.h"

namespace qnext {
namespace {

// Conversations that people have. Templates may refuse some: a checkpoint may take no system message.
struct Conversation {
  const char* what;
  std::vector<ChatMessage> messages;
};

std::vector<Conversation> Conversations() {
  const ChatMessage system = {.role = "system", .content = "Be brief."}, user = {.role = "user", .content = "Hello"},
                    assistant = {.role = "assistant", .content = "Hi."};
  return {{"a question", {user}},
          {"a second question", {user, assistant, user}},
          {"a question after a system message", {system, user}}};
}

void InspectTemplate(const std::string& folder, const Tokenizer& tokenizer, InspectReport& report) {
  const Result<ChatFormat> chat = ChatFormat::Load(folder, "", tokenizer);
  if (!chat.ok()) {
    report.warnings.push_back("chat: " + chat.status().message());
    return;
  }
  report.text->chat_template = chat->source();
  size_t rendered = 0;
  for (const Conversation& conversation : Conversations()) {
    const Result<std::string> text = chat->Render(conversation.messages);
    rendered += text.ok() ? 1 : 0;
    if (text.ok()) continue;
    const std::string reason = text.status().message().substr(chat->source().size() + 2);  // it begins with the source
    report.warnings.push_back(fmt::format("{}: cannot render {}: {}", chat->source(), conversation.what, reason));
  }
  // Of a template that renders nothing all has been said.
  if (rendered > 0 && !chat->warning().empty()) report.warnings.push_back("chat: " + chat->warning());
}

}  // namespace

void InspectText(const std::string& folder, InspectReport& report) {
  const Result<Tokenizer> tokenizer = Tokenizer::Load(folder + "/tokenizer.json");
  if (!tokenizer.ok()) {
    report.problems.push_back(tokenizer.status().message());
    return;
  }
  report.text = InspectReport::Text{.tokens = tokenizer->vocab_end(), .chat_template = ""};
  const Result<std::vector<int32_t>> eos_ids = CheckVocabulary(report.config, tokenizer->vocab_end());
  if (!eos_ids.ok()) {
    report.problems.push_back(eos_ids.status().message());
  } else if (eos_ids->empty()) {
    report.warnings.push_back("eos_token_id: the checkpoint names none; answers end at their limit of tokens only");
  }
  if (const Result<GenerationDefaults> defaults = LoadGenerationDefaults(folder); !defaults.ok()) {
    report.problems.push_back(defaults.status().message());
  }
  InspectTemplate(folder, *tokenizer, report);
}

}  // namespace qnext
