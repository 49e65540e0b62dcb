// The bodies of the endpoints that are not OpenAI's: /inference, /tokenize, /detokenize.
#pragma once

#include <cstdint>
#include <string_view>

#include "server/api_error.h"
#include "server/api_types.h"

namespace qnext::server {

ApiResult<InferenceRequest> ParseInferenceRequest(std::string_view body);
ApiResult<TokenizeRequest> ParseTokenizeRequest(std::string_view body);
ApiResult<DetokenizeRequest> ParseDetokenizeRequest(std::string_view body);

// /admin/vram: expert_cache_bytes, at most what was planned.
ApiResult<int64_t> ParseVramRequest(std::string_view body, int64_t planned_bytes);

}  // namespace qnext::server
