#include "engine/request.h"

#include <fmt/core.h>

namespace qnext {
namespace {

Status CheckIds(const char* field, const std::vector<int32_t>& ids, int32_t vocab_end) {
  for (const int32_t id : ids) {
    if (id >= 0 && id < vocab_end) continue;
    return InvalidArgument(fmt::format("{}: token {} is outside the vocabulary of {} tokens", field, id, vocab_end));
  }
  return {};
}

}  // namespace

std::string_view FinishReasonName(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
      return "cancelled";
  }
  return "";
}

Status ValidateRequest(const Request& request, int32_t vocab_end, int64_t context) {
  const int64_t prompt = static_cast<int64_t>(request.prompt_ids.size());
  if (prompt == 0) return InvalidArgument("prompt: is empty");
  if (prompt >= context) {
    return InvalidArgument(fmt::format(
        "prompt: has {} tokens, but the context holds {}, the answer's at least one token included", prompt, context));
  }
  QNEXT_RETURN_IF_ERROR(CheckIds("prompt", request.prompt_ids, vocab_end));
  QNEXT_RETURN_IF_ERROR(CheckIds("eos_ids", request.eos_ids, vocab_end));
  if (request.max_tokens && *request.max_tokens < 1) {
    return InvalidArgument(fmt::format("max_tokens: must be at least 1, not {}", *request.max_tokens));
  }
  for (const std::string& stop : request.stop) {
    if (stop.empty()) return InvalidArgument("stop: a stop string must not be empty");
  }
  return ValidateSampling(request.sampling, vocab_end);
}

}  // namespace qnext
