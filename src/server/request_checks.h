// Checks of a parsed request that need the model.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "server/api_error.h"
#include "server/api_types.h"
#include "server/backend.h"

namespace qnext::server {

ApiError ModelNotFound(std::string_view asked, std::string_view loaded);  // 404
ApiError ShuttingDown();                                                  // 503

// 400 naming `path` if an id is not in the vocabulary.
std::optional<ApiError> CheckIds(const TokenIds& ids, int64_t vocab_size, std::string_view path);

// 400 if `text` cannot fit the context whatever its tokens are, so that it need not be tokenized; `wanted` as for
// FitContext, whose error this is too.
std::optional<ApiError> CheckTextFits(std::string_view text, std::string_view path, std::optional<int64_t> wanted,
                                      const Backend& backend);

// The prompt's tokens, checked against the vocabulary; 400 naming `path` if there are none, and as CheckTextFits.
ApiResult<TokenIds> ReadPrompt(const std::variant<std::string, TokenIds>& prompt, const std::string& path,
                               std::optional<int64_t> wanted, const Backend& backend);

// What echo repeats: the text as given, or what the token ids stand for.
Result<std::string> EchoText(const std::variant<std::string, TokenIds>& prompt, const Backend& backend);

// Sets request.max_tokens to `wanted`, or to what the context leaves if that is less or `wanted` is not given. 400 with
// both numbers if the prompt leaves no room for a token.
std::optional<ApiError> FitContext(GenerateRequest& request, std::string_view path, std::optional<int64_t> wanted,
                                   const ModelInfo& model);

}  // namespace qnext::server
