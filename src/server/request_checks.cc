#include "server/request_checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace qnext::server {

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

ApiResult<TokenIds> ReadPrompt(const std::variant<std::string, TokenIds>& prompt, const std::string& path,
                               const Backend& backend) {
  TokenIds ids;
  if (const auto* text = std::get_if<std::string>(&prompt)) {
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
  const int64_t least = wanted ? std::min<int64_t>(*wanted, 1) : 1;
  if (room < least) {
    ApiError error =
        InvalidField(path, fmt::format("{} tokens do not fit the context of {}, which holds the answer too",
                                       prompt_tokens, model.context_length));
    error.code = "context_length_exceeded";
    return error;
  }
  request.max_tokens = std::min(wanted.value_or(room), room);
  return std::nullopt;
}

}  // namespace qnext::server
