// ChatFormat: how a checkpoint wants a conversation written down as text.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace qnext {

struct ChatMessage {
  std::string role;  // "system", "user", "assistant"
  std::string content;
};

// A compiled chat template with the token strings that it may ask for. Immutable; thread-safe.
class ChatFormat {
 public:
  // The first of: the file `override_path` (if not empty), <folder>/chat_template.jinja, chat_template of
  // <folder>/tokenizer_config.json (a string, or the entry "default" of a list of named ones). A template of the
  // checkpoint that is absent or cannot be rendered is replaced by a built-in ChatML one, with a warning, if the
  // vocabulary has its two tokens; an error of the override is an error. Whoever cannot do with another template than
  // the checkpoint's asks replaced().
  static Result<ChatFormat> Load(const std::string& folder, const std::string& override_path,
                                 const Tokenizer& tokenizer);
  // The same where the only file is a tokenizer_config.json of this text; `name` stands for the folder in messages.
  static Result<ChatFormat> FromText(const std::string& tokenizer_config, const std::string& name,
                                     const std::string& override_path, const Tokenizer& tokenizer);

  // The text that the model continues: `messages` is an array of objects as OpenAI has them. `extra` (an object or
  // null) adds variables: tools, and whatever else the request gives the template. kInvalidArgument with what the
  // template objects to, after source().
  Result<std::string> Render(const nlohmann::ordered_json& messages, const nlohmann::ordered_json& extra) const;
  Result<std::string> Render(const std::vector<ChatMessage>& messages) const;

  const std::string& source() const { return source_; }    // a path, or "built-in ChatML"
  const std::string& warning() const { return warning_; }  // empty: none; also of a template that fails always
  // Why the template that the checkpoint has cannot be rendered; OK: it can, it has none, or another was asked for.
  const Status& replaced() const { return replaced_; }
  // Why this format cannot write down even a question alone; OK: it can.
  const Status& useless() const { return useless_; }
  // The token that ends a message where the format knows it, to be added to the eos tokens.
  std::optional<int32_t> end_id() const { return end_id_; }

 private:
  struct SpecialTokens {  // of tokenizer_config.json; absent there: undefined in the template
    std::optional<std::string> bos, eos, pad, unk;
  };
  struct Source {
    std::string path;
    std::string text;
  };
  struct FolderFormat {
    std::optional<Source> chat_template;
    SpecialTokens tokens;
  };

  ChatFormat(ChatTemplate compiled, SpecialTokens tokens, std::string source);
  static Result<FolderFormat> ReadFolder(const std::string& folder);
  static Result<FolderFormat> ParseTokenizerConfig(const std::string& text, const std::string& path);
  static Result<ChatFormat> Choose(const FolderFormat& found, const std::string& folder,
                                   const std::string& override_path, const Tokenizer& tokenizer);
  void WarnIfUseless();
  static Result<ChatFormat> BuiltIn(const Tokenizer& tokenizer, const SpecialTokens& tokens, const std::string& why);

  ChatTemplate template_;
  SpecialTokens tokens_;
  std::string source_;
  std::string warning_;
  Status replaced_, useless_;
  std::optional<int32_t> end_id_;
};

}  // namespace qnext
