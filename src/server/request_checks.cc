#include "server/request_checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace qnext::server {
namespace {

// What a prompt must leave of the context; none if only the prompt is wanted.
int64_t LeastRoom(std::optional<int64_t> wanted) { return wanted ? std::min<int64_t>(*wanted, 1) : 1; }

ApiError ContextExceeded(std::string_view path, std::string_view prompt_tokens, const ModelInfo& model) {
  ApiError error = InvalidField(path, fmt::format("{} tokens do not fit the context of {}, which holds the answer too",
                                                  prompt_tokens, model.context_length));
  error.code = "context_length_exceeded";
  return error;
}

}  // namespace

ApiError ModelNotFound(std::string_view asked, std::string_view loaded) {
  return {.http_status = 404,
          .message = fmt::format("model: \"{}\" is not loaded here; \"{}\" is", asked.substr(0, 200), loaded),
          .param = "model",
          .code = "model_not_found"};
}

ApiError ShuttingDown() {
  return {.http_status = 503, .message = "the server is shutting down", .code = "shutting_down"};
}

std::optional<ApiError> CheckIds(const TokenIds& ids, int64_t vocab_size, std::string_view path) {
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] >= vocab_size) {
      return InvalidField(fmt::format("{}[{}]", path, i),
                          fmt::format("no such token; the vocabulary has {}", vocab_size));
    }
  }
  return std::nullopt;
}

std::optional<ApiError> CheckTextFits(std::string_view text, std::string_view path, std::optional<int64_t> wanted,
                                      const Backend& backend) {
  const ModelInfo& model = backend.model();
  const int64_t least = backend.LeastTokens(text);
  if (model.context_length - least >= LeastRoom(wanted)) return std::nullopt;
  return ContextExceeded(path, fmt::format("at least {}", least), model);
}

ApiResult<TokenIds> ReadPrompt(const std::variant<std::string, TokenIds>& prompt, const std::string& path,
                               std::optional<int64_t> wanted, const Backend& backend) {
  TokenIds ids;
  if (const auto* text = std::get_if<std::string>(&prompt)) {
    if (const auto error = CheckTextFits(*text, path, wanted, backend)) return *error;
    Result<TokenIds> tokens = backend.Tokenize(*text, /*parse_special=*/true);
    if (!tokens.ok()) return FromStatus(tokens.status());
    ids = *std::move(tokens);
  } else {
    ids = std::get<TokenIds>(prompt);
    if (const auto error = CheckIds(ids, backend.model().vocab_size, path)) return *error;
  }
  if (ids.empty()) return InvalidField(path, "must hold at least one token");
  return ids;
}

Result<std::string> EchoText(const std::variant<std::string, TokenIds>& prompt, const Backend& backend) {
  if (const auto* text = std::get_if<std::string>(&prompt)) return *text;
  return backend.Detokenize(std::get<TokenIds>(prompt));
}

std::optional<ApiError> FitContext(GenerateRequest& request, std::string_view path, std::optional<int64_t> wanted,
                                   const ModelInfo& model) {
  const auto prompt_tokens = static_cast<int64_t>(request.prompt.size());
  const int64_t room = model.context_length - prompt_tokens;
  if (room < LeastRoom(wanted)) return ContextExceeded(path, std::to_string(prompt_tokens), model);
  request.max_tokens = std::min(wanted.value_or(room), room);
  return std::nullopt;
}

}  // namespace qnext::server
