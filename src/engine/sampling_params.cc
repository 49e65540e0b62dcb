#include "engine/sampling_params.h"

#include <fmt/core.h>

namespace qnext {
namespace {

Status CheckRange(const char* field, double value, double low, double high) {
  if (value >= low && value <= high) return {};  // false for NaN
  return InvalidArgument(fmt::format("{}: must be in [{:g}, {:g}], not {:g}", field, low, high, value));
}

}  // namespace

Status ValidateSampling(const SamplingParams& params, int32_t vocab_end) {
  QNEXT_RETURN_IF_ERROR(CheckRange("temperature", params.temperature, 0, 2));
  QNEXT_RETURN_IF_ERROR(CheckRange("top_p", params.top_p, 0, 1));
  QNEXT_RETURN_IF_ERROR(CheckRange("min_p", params.min_p, 0, 1));
  QNEXT_RETURN_IF_ERROR(CheckRange("presence_penalty", params.presence_penalty, -2, 2));
  QNEXT_RETURN_IF_ERROR(CheckRange("frequency_penalty", params.frequency_penalty, -2, 2));
  QNEXT_RETURN_IF_ERROR(CheckRange("repetition_penalty", params.repetition_penalty, 0.01, 100));
  if (params.top_k < -1) {
    return InvalidArgument(fmt::format("top_k: must be positive, or 0 or -1 for no limit, not {}", params.top_k));
  }
  if (params.top_logprobs < 0 || params.top_logprobs > kMaxTopLogprobs) {
    return InvalidArgument(
        fmt::format("top_logprobs: must be in [0, {}], not {}", kMaxTopLogprobs, params.top_logprobs));
  }
  if (params.top_logprobs > 0 && !params.logprobs) return InvalidArgument("top_logprobs: needs logprobs");
  for (const auto& [id, bias] : params.logit_bias) {
    if (id < 0 || id >= vocab_end) {
      return InvalidArgument(fmt::format("logit_bias: token {} is outside the vocabulary of {} tokens", id, vocab_end));
    }
    if (!(bias >= -100 && bias <= 100)) {
      return InvalidArgument(
          fmt::format("logit_bias: the bias of token {} must be in [-100, 100], not {:g}", id, bias));
    }
  }
  return {};
}

}  // namespace qnext
