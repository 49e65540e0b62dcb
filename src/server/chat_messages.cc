#include "server/chat_messages.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string>
#include <utility>

namespace qnext::server {
namespace {

using Json = nlohmann::ordered_json;

// A string, or an array of {"type": "text", "text": ...} joined; nullopt if absent or wrong.
std::optional<std::string> ReadContent(FieldReader& message, FirstError& errors) {
  const Json* content = message.Any("content");
  if (content == nullptr) return std::nullopt;
  if (content->is_string()) return content->get<std::string>();
  if (!content->is_array()) {
    message.Fail("content", "must be a string or an array of text parts");
    return std::nullopt;
  }
  std::string text;
  for (size_t i = 0; i < content->size(); ++i) {
    const std::string path = fmt::format("{}[{}]", message.Path("content"), i);
    if (!(*content)[i].is_object()) {
      errors.Set(path, "must be an object");
      return std::nullopt;
    }
    FieldReader part((*content)[i], path, errors);
    const std::string type = part.String("type").value_or("");
    if (type != "text") {
      part.Fail("type", "must be \"text\": this model reads nothing else");
      return std::nullopt;
    }
    const auto piece = part.String("text");
    if (!piece) part.Fail("text", "is required");
    part.Finish();
    text += piece.value_or("");
  }
  return text;
}

// Copies a text that the API's form requires.
void ReadId(FieldReader& fields, const char* name, MessageForm form, const char* missing, Json& out) {
  if (const auto id = fields.String(name)) {
    out[name] = *id;
  } else if (form == MessageForm::kApi) {
    fields.Fail(name, missing);
  }
}

Json ReadCalledFunction(const Json& function, const std::string& path, MessageForm form, FirstError& errors) {
  FieldReader fields(function, path, errors);
  const auto name = fields.String("name");
  if (!name) fields.Fail("name", "is required");
  Json out = {{"name", name.value_or("")}};
  const Json* arguments = fields.Any("arguments");
  if (arguments == nullptr) {
    fields.Fail("arguments", "is required");
  } else if (arguments->is_string() || (form == MessageForm::kFile && arguments->is_object())) {
    out["arguments"] = *arguments;
  } else {
    fields.Fail("arguments", form == MessageForm::kFile ? "must be an object or a string" : "must be a string");
  }
  fields.Finish();
  return out;
}

Json ReadToolCall(const Json& value, const std::string& path, MessageForm form, FirstError& errors) {
  Json out = Json::object();
  if (!value.is_object()) {
    errors.Set(path, "must be an object");
    return out;
  }
  FieldReader call(value, path, errors);
  ReadId(call, "id", form, "is required", out);
  call.RefuseUnless("type", "function", "must be \"function\"");
  out["type"] = "function";
  if (const Json* function = call.Object("function")) {
    out["function"] = ReadCalledFunction(*function, path + ".function", form, errors);
  } else {
    call.Fail("function", "is required");
  }
  call.Finish();
  return out;
}

// What an assistant's message may hold beside its content. Clients send back what they received, nulls included.
void ReadAssistant(FieldReader& message, MessageForm form, FirstError& errors, Json& out) {
  if (const auto reasoning = message.String("reasoning_content")) out["reasoning_content"] = *reasoning;
  if (const Json* calls = message.Array("tool_calls"); calls != nullptr && !calls->empty()) {
    Json list = Json::array();
    for (size_t i = 0; i < calls->size(); ++i) {
      list.push_back(ReadToolCall((*calls)[i], fmt::format("{}[{}]", message.Path("tool_calls"), i), form, errors));
    }
    out["tool_calls"] = std::move(list);
  }
  message.Refuse("refusal", "not supported");
  message.Refuse("audio", "not supported");
  message.Refuse("function_call", "not supported; use tool_calls");
  message.RefuseUnless("annotations", Json::array(), "not supported");
}

Json ReadMessage(const Json& value, const std::string& path, MessageForm form, FirstError& errors) {
  Json out = Json::object();
  if (!value.is_object()) {
    errors.Set(path, "must be an object");
    return out;
  }
  FieldReader message(value, path, errors);
  const std::string role = message.String("role").value_or("");
  if (role != "system" && role != "developer" && role != "user" && role != "assistant" && role != "tool") {
    message.Fail("role", "must be \"system\", \"developer\", \"user\", \"assistant\" or \"tool\"");
    return out;
  }
  out["role"] = role == "developer" ? "system" : role;
  const auto content = ReadContent(message, errors);
  out["content"] = content.value_or("");
  if (role == "assistant") ReadAssistant(message, form, errors, out);
  if (role == "tool") {
    ReadId(message, "tool_call_id", form, "is required in a tool's message", out);
    if (form == MessageForm::kFile) {
      if (const auto name = message.String("name")) out["name"] = *name;
    }
  }
  if (!content && !out.contains("tool_calls")) message.Fail("content", "is required");
  if (!out.contains("name")) message.Refuse("name", "not supported: the model's template has no place for it");
  message.Finish();
  return out;
}

}  // namespace

Json ReadMessages(FieldReader& fields, MessageForm form, FirstError& errors) {
  Json messages = Json::array();
  const Json* given = fields.Array("messages");
  if (given == nullptr) {
    fields.Fail("messages", "is required");
  } else if (given->empty()) {
    fields.Fail("messages", "must not be empty");
  } else {
    for (size_t i = 0; i < given->size(); ++i) {
      messages.push_back(ReadMessage((*given)[i], fmt::format("messages[{}]", i), form, errors));
    }
  }
  return messages;
}

const Json* ReadTools(FieldReader& fields, FirstError& errors) {
  const Json* tools = fields.Array("tools");
  for (size_t i = 0; tools != nullptr && i < tools->size(); ++i) {
    const std::string path = fmt::format("tools[{}]", i);
    if (!(*tools)[i].is_object()) {
      errors.Set(path, "must be an object");
      continue;
    }
    FieldReader tool((*tools)[i], path, errors);
    tool.RefuseUnless("type", "function", "must be \"function\"");
    const Json* function = tool.Object("function");
    if (function == nullptr) {
      tool.Fail("function", "is required");
      continue;
    }
    FieldReader declared(*function, path + ".function", errors);
    if (declared.String("name").value_or("").empty()) declared.Fail("name", "is required");
    declared.Object("parameters");
  }
  return tools;
}

void ReadTemplateVariables(FieldReader& fields, FirstError& errors, Json& out) {
  out = Json::object();
  out["messages"] = ReadMessages(fields, MessageForm::kApi, errors);
  out["add_generation_prompt"] = true;
  if (const Json* extra = fields.Object("chat_template_kwargs")) {
    for (const auto& [name, value] : extra->items()) {
      if (out.contains(name) || name == "tools" || name == "bos_token" || name == "eos_token") {
        errors.Set("chat_template_kwargs." + name, "is set by the server");
        return;
      }
      out[name] = value;
    }
  }
}

}  // namespace qnext::server
