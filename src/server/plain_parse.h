// The bodies of the endpoints that are not OpenAI's.
#pragma once

#include <cstdint>
#include <string_view>

#include "server/api_error.h"
#include "server/api_types.h"

namespace qnext::server {

ApiResult<InferenceRequest> ParseInferenceRequest(std::string_view body);
// At most kMostBenchmarkIterations.
ApiResult<BenchmarkRequest> ParseBenchmarkRequest(std::string_view body);
constexpr int64_t kMostBenchmarkIterations = 100;

ApiResult<TokenizeRequest> ParseTokenizeRequest(std::string_view body);
ApiResult<DetokenizeRequest> ParseDetokenizeRequest(std::string_view body);

// /admin/vram: expert_cache_bytes, at most what was planned.
ApiResult<int64_t> ParseVramRequest(std::string_view body, int64_t planned_bytes);

}  // namespace qnext::server
