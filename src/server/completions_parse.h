// The body of POST /v1/completions.
#pragma once

#include <string_view>

#include "server/api_error.h"
#include "server/api_types.h"

namespace qnext::server {

ApiResult<CompletionRequest> ParseCompletionRequest(std::string_view body, const SamplingParams& defaults);

}  // namespace qnext::server
