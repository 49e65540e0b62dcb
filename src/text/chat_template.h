// Chat templates: the checkpoint's own Jinja, rendered in the environment Hugging Face gives it. docs/chat-templates.md
#pragma once

#include <cstdint>
#include <ctime>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/status.h"

namespace qnext {

// What one rendering may use. The defaults are far above what a chat needs and end a runaway template in seconds.
struct RenderOptions {
  int64_t max_steps = 50'000'000;         // nodes evaluated, items iterated, and 64-byte stretches of text read
  int64_t max_output_bytes = 64LL << 20;  // of the result, and of any one string or list while rendering
  int64_t max_built_bytes = 1LL << 30;    // of all values made while rendering, together
  std::function<std::tm()> local_time;    // what strftime_now formats; empty: the system's clock and time zone
};

// Immutable after Compile; thread-safe. trim_blocks and lstrip_blocks are on; loop controls, tojson (keys in the given
// order, ", " and ": ", non-ASCII unescaped, no HTML escaping), raise_exception, strftime_now and {% generation %} are
// there. Renders the same bytes as Python's jinja2 does in that environment.
class ChatTemplate {
 public:
  // What the engine cannot render (an unknown tag, filter, test, function or method name) is a kUnsupported error here,
  // at load, naming the construct and its line; a syntax error is kInvalidArgument with its line.
  static Result<ChatTemplate> Compile(const std::string& source);

  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;
  ~ChatTemplate();

  // `variables` is an object: messages, tools, add_generation_prompt, bos_token, eos_token and whatever the request
  // adds. raise_exception and errors while rendering are kInvalidArgument with the message and its line; a template
  // that loops or recurses without end, or outgrows `options`, is kResourceExhausted. Needs less than 1 MiB of
  // stack.
  Result<std::string> Render(const nlohmann::ordered_json& variables, const RenderOptions& options = {}) const;

 private:
  struct Impl;
  explicit ChatTemplate(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace qnext
