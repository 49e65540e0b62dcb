// The bodies of the endpoints that are not OpenAI's: /inference, /tokenize, /detokenize.
#pragma once

#include <string_view>

#include "server/api_error.h"
#include "server/api_types.h"

namespace qnext::server {

ApiResult<InferenceRequest> ParseInferenceRequest(std::string_view body);
ApiResult<TokenizeRequest> ParseTokenizeRequest(std::string_view body);
ApiResult<DetokenizeRequest> ParseDetokenizeRequest(std::string_view body);

}  // namespace qnext::server
