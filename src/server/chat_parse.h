// The body of POST /v1/chat/completions and of POST /apply-template.
#pragma once

#include <string_view>

#include "server/api_error.h"
#include "server/api_types.h"

namespace qnext::server {

// `defaults`: the sampling values of fields that the request does not give.
ApiResult<ChatRequest> ParseChatRequest(std::string_view body, const SamplingParams& defaults);
ApiResult<ApplyTemplateRequest> ParseApplyTemplateRequest(std::string_view body);

}  // namespace qnext::server
