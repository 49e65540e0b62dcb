#include "text/chat_template.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "text/jinja/error.h"
#include "text/jinja/from_json.h"
#include "text/jinja/functions.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/names_check.h"
#include "text/jinja/parser.h"
#include "text/jinja/runtime.h"
#include "text/jinja/scope.h"
#include "text/jinja/unicode.h"

namespace qnext {
namespace {

using jinja::Kind;
using jinja::TemplateError;
using jinja::Value;

// Some hundred times the longest chat template known.
constexpr size_t kMaxSourceBytes = 4 << 20;

// `line` is the one in progress, for errors that do not know theirs; 0: none.
Status ToStatus(const TemplateError& error, int line) {
  if (error.line() != 0) line = error.line();
  const std::string what =
      error.code() == StatusCode::kUnsupported ? "not supported: " + error.message() : error.message();
  if (line == 0) return {error.code(), what};
  return {error.code(), fmt::format("line {}: {}", line, what)};
}

Value ContextValue(jinja::Runtime& rt, const nlohmann::ordered_json& variables, const std::string& name) {
  if (const auto found = variables.find(name); found != variables.end()) {
    try {
      return jinja::FromJson(rt, *found);
    } catch (const TemplateError& error) {
      throw TemplateError(error.code(), fmt::format("variable '{}': {}", name, error.message()), 0);
    }
  }
  if (const jinja::GlobalFunction* global = jinja::FindGlobal(name); global != nullptr) {
    return {Kind::kFunction, std::make_shared<jinja::FunctionObject>(*global)};
  }
  return {};
}

}  // namespace

struct ChatTemplate::Impl {
  jinja::TemplateTree tree;
};

ChatTemplate::ChatTemplate(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

Result<ChatTemplate> ChatTemplate::Compile(const std::string& source) {
  if (source.size() > kMaxSourceBytes) {
    return ResourceExhausted(fmt::format("longer than {} bytes", kMaxSourceBytes));
  }
  if (!jinja::IsWellFormed(source)) return InvalidArgument("not valid UTF-8");
  try {
    auto impl = std::make_unique<Impl>();
    jinja::Block body = jinja::Parse(source);
    jinja::CheckNames(body);
    impl->tree = jinja::ResolveNames(std::move(body));
    return ChatTemplate(std::move(impl));
  } catch (const TemplateError& error) {
    return ToStatus(error, 0);
  }
}

Result<std::string> ChatTemplate::Render(const nlohmann::ordered_json& variables, const RenderOptions& options) const {
  if (!variables.is_object()) return InvalidArgument("the variables must be an object");
  jinja::Runtime rt(options);
  try {
    std::vector<Value> context;
    context.reserve(impl_->tree.variables.size());
    for (const std::string& name : impl_->tree.variables) context.push_back(ContextValue(rt, variables, name));
    return jinja::Interpreter(impl_->tree, rt, std::move(context)).Run();
  } catch (const TemplateError& error) {
    return ToStatus(error, rt.line);
  }
}

}  // namespace qnext
