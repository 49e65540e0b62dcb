// Chat templates: the checkpoint's own Jinja, rendered in the environment Hugging Face gives it. docs/chat-templates.md
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/status.h"

namespace qnext {

// Immutable after Compile; thread-safe. trim_blocks and lstrip_blocks are on; loop controls, tojson (keys in the given
// order,
// ", " and ": ", non-ASCII unescaped, no HTML escaping), raise_exception, strftime_now and {% generation %} are there.
class ChatTemplate {
 public:
  // What the engine cannot render (an unknown tag, filter, test, function or method name) is a kUnsupported error here,
  // at load, naming the construct and its line; a syntax error is kInvalidArgument with its line.
  static Result<ChatTemplate> Compile(const std::string& source);

  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;
  ~ChatTemplate();

  // `variables` is an object: messages, tools, add_generation_prompt, bos_token, eos_token and whatever the request
  // adds. raise_exception and errors while rendering are kInvalidArgument with the message. Rendering is bounded: a
  // template that loops or recurses without end is an error, not a hang.
  Result<std::string> Render(const nlohmann::ordered_json& variables) const;

 private:
  struct Impl;
  explicit ChatTemplate(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace qnext
