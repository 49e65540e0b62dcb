#include "engine/chat_format.h"

#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/json_guard.h"
#include "text/json_keys.h"

namespace qnext {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kNameAnother[] = "; --chat-template FILE names another";
constexpr char kBuiltInSource[] = "built-in ChatML";
constexpr char kMessageStart[] = "<|im_start|>";
constexpr char kMessageEnd[] = "<|im_end|>";
constexpr char kBuiltInTemplate[] = R"({%- if tools %}
    {{- raise_exception('the built-in chat template cannot describe tools') }}
{%- endif %}
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %}
)";

// A token of tokenizer_config.json: a string, or an object with its "content".
std::optional<std::string> TokenString(const Json& config, const char* field) {
  const auto it = config.find(field);
  if (it == config.end()) return std::nullopt;
  if (it->is_string()) return it->get<std::string>();
  if (it->is_object() && it->contains("content") && it->at("content").is_string()) {
    return it->at("content").get<std::string>();
  }
  return std::nullopt;
}

// chat_template of tokenizer_config.json; nothing where there is none.
Result<std::optional<std::string>> TemplateField(const Json& config, const std::string& path) {
  const auto it = config.find("chat_template");
  if (it == config.end() || it->is_null()) return std::optional<std::string>();
  if (it->is_string()) return std::optional(it->get<std::string>());
  if (it->is_array()) {
    for (const Json& entry : *it) {
      if (!entry.is_object() || entry.value("name", Json()) != "default") continue;
      const auto text = entry.find("template");
      if (text != entry.end() && text->is_string()) return std::optional(text->get<std::string>());
    }
    return Corrupt(path + ": chat_template: the list has no entry named \"default\"");
  }
  return Corrupt(path + ": chat_template: must be a string or a list of named templates");
}

}  // namespace

ChatFormat::ChatFormat(ChatTemplate compiled, SpecialTokens tokens, std::string source)
    : template_(std::move(compiled)), tokens_(std::move(tokens)), source_(std::move(source)) {}

Result<ChatFormat::FolderFormat> ChatFormat::ParseTokenizerConfig(const std::string& text, const std::string& path) {
  FolderFormat format;
  QNEXT_RETURN_IF_ERROR(CheckJsonLimits(text).WithContext(path));
  QNEXT_RETURN_IF_ERROR(CheckJsonKeys(text).WithContext(path));
  const Json config = Json::parse(text, /*cb=*/nullptr, /*allow_exceptions=*/false);
  if (!config.is_object()) return Corrupt(path + ": is not a JSON object");
  format.tokens = {.bos = TokenString(config, "bos_token"),
                   .eos = TokenString(config, "eos_token"),
                   .pad = TokenString(config, "pad_token"),
                   .unk = TokenString(config, "unk_token")};
  QNEXT_ASSIGN_OR_RETURN(std::optional<std::string> source, TemplateField(config, path));
  if (source) format.chat_template = Source{path, *std::move(source)};
  return format;
}

Result<ChatFormat::FolderFormat> ChatFormat::ReadFolder(const std::string& folder) {
  FolderFormat format;
  const std::string config_path = folder + "/tokenizer_config.json";
  if (FileExists(config_path)) {
    QNEXT_ASSIGN_OR_RETURN(const std::string text, ReadFileToString(config_path));
    QNEXT_ASSIGN_OR_RETURN(format, ParseTokenizerConfig(text, config_path));
  }
  const std::string jinja_path = folder + "/chat_template.jinja";
  if (FileExists(jinja_path)) {
    QNEXT_ASSIGN_OR_RETURN(std::string source, ReadFileToString(jinja_path));
    format.chat_template = Source{jinja_path, std::move(source)};
  }
  return format;
}

Result<ChatFormat> ChatFormat::Load(const std::string& folder, const std::string& override_path,
                                    const Tokenizer& tokenizer) {
  QNEXT_ASSIGN_OR_RETURN(const FolderFormat found, ReadFolder(folder));
  return Choose(found, folder, override_path, tokenizer);
}

Result<ChatFormat> ChatFormat::FromText(const std::string& tokenizer_config, const std::string& name,
                                        const std::string& override_path, const Tokenizer& tokenizer) {
  QNEXT_ASSIGN_OR_RETURN(const FolderFormat found,
                         ParseTokenizerConfig(tokenizer_config, name + ": tokenizer_config.json"));
  return Choose(found, name, override_path, tokenizer);
}

Result<ChatFormat> ChatFormat::Choose(const FolderFormat& found, const std::string& folder,
                                      const std::string& override_path, const Tokenizer& tokenizer) {
  if (!override_path.empty()) {
    QNEXT_ASSIGN_OR_RETURN(const std::string text, ReadFileToString(override_path));
    Result<ChatTemplate> compiled = ChatTemplate::Compile(text);
    if (!compiled.ok()) return compiled.status().WithContext(override_path);
    ChatFormat format(std::move(compiled).value(), found.tokens, override_path);
    format.WarnIfUseless();
    return format;
  }
  if (!found.chat_template) {
    return BuiltIn(tokenizer, found.tokens, folder + ": the checkpoint has no chat template");
  }
  Result<ChatTemplate> compiled = ChatTemplate::Compile(found.chat_template->text);
  const std::string& path = found.chat_template->path;
  if (!compiled.ok()) {
    const Status broken = compiled.status().WithContext(path);
    QNEXT_ASSIGN_OR_RETURN(ChatFormat format, BuiltIn(tokenizer, found.tokens, broken.message()));
    format.replaced_ = Status(broken.code(), broken.message() + kNameAnother);
    return format;
  }
  ChatFormat format(std::move(compiled).value(), found.tokens, path);
  format.WarnIfUseless();
  return format;
}

// Better said at the start than after the first question. A template may refuse what it was not made for, so one that
// renders any plain conversation is not spoken of.
void ChatFormat::WarnIfUseless() {
  const ChatMessage system = {.role = "system", .content = "Be brief."}, user = {.role = "user", .content = "Hello"};
  const Result<std::string> question = Render({user}), asked = question.ok() ? question : Render({system, user});
  if (!asked.ok()) {
    warning_ = question.status().message() + " (it renders no plain question)";
    useless_ = Status(question.status().code(), warning_ + kNameAnother);
    return;
  }
  const ChatMessage other = {.role = "user", .content = "What is 2 + 2?"};
  const Result<std::string> second = question.ok() ? Render({other}) : Render({system, other});
  if (second.ok() && *second == *asked) {
    warning_ = source_ + ": the template ignores the messages: it renders the same text whatever is asked";
  }
}

Result<ChatFormat> ChatFormat::BuiltIn(const Tokenizer& tokenizer, const SpecialTokens& tokens,
                                       const std::string& why) {
  const std::optional<int32_t> end = tokenizer.FindAdded(kMessageEnd);
  if (!end || !tokenizer.FindAdded(kMessageStart)) {
    return Unsupported(why + kNameAnother);
  }
  QNEXT_ASSIGN_OR_RETURN(ChatTemplate compiled, ChatTemplate::Compile(kBuiltInTemplate));
  ChatFormat format(std::move(compiled), tokens, kBuiltInSource);
  format.warning_ = why + "; using the " + kBuiltInSource + " template";
  format.end_id_ = end;
  return format;
}

Result<std::string> ChatFormat::Render(const Json& messages, const Json& extra) const {
  // What Hugging Face hands to a template when nothing else is said.
  Json variables = {
      {"messages", messages}, {"tools", nullptr}, {"documents", nullptr}, {"add_generation_prompt", true}};
  if (tokens_.bos) variables["bos_token"] = *tokens_.bos;
  if (tokens_.eos) variables["eos_token"] = *tokens_.eos;
  if (tokens_.pad) variables["pad_token"] = *tokens_.pad;
  if (tokens_.unk) variables["unk_token"] = *tokens_.unk;
  if (extra.is_object()) variables.update(extra);
  Result<std::string> text = template_.Render(variables);
  if (!text.ok()) return text.status().WithContext(source_);
  if (text->empty()) return InvalidArgument(source_ + ": the template renders these messages to nothing");
  return text;
}

Result<std::string> ChatFormat::Render(const std::vector<ChatMessage>& messages) const {
  Json array = Json::array();
  for (const ChatMessage& message : messages) {
    array.push_back({{"role", message.role}, {"content", message.content}});
  }
  return Render(array, Json());
}

}  // namespace qnext
