#include "engine/engine.h"

#include <fmt/core.h>

#include <algorithm>
#include <new>
#include <utility>

#include "engine/sequence.h"

namespace qnext {

Engine::Engine(EngineParts parts)
    : parts_(std::move(parts)), logits_(static_cast<size_t>(parts_.model->vocab_size())) {}

std::vector<int32_t> Engine::ChatEosIds() const {
  std::vector<int32_t> ids = parts_.eos_ids;
  const std::optional<int32_t> end = parts_.chat.value().end_id();
  if (end && std::find(ids.begin(), ids.end(), *end) == ids.end()) ids.push_back(*end);
  return ids;
}

std::vector<std::string> Engine::Warnings(ChatUse chat) const {
  std::vector<std::string> warnings = parts_.info.warnings;
  const bool speak =
      chat == ChatUse::kServed || (chat != ChatUse::kNone && parts_.chat.ok() && parts_.chat->replaced().ok());
  if (speak && parts_.chat.ok() && !parts_.chat->warning().empty()) warnings.push_back(parts_.chat->warning());
  if (parts_.eos_ids.empty()) {
    warnings.push_back("eos_token_id: the checkpoint names none; answers end at their limit of tokens only");
  }
  return warnings;
}

Status Engine::Validate(const Request& request) const {
  return ValidateRequest(request, parts_.tokenizer.vocab_end(), context());
}

Status Engine::CheckPrompt(std::span<const int32_t> ids) const {
  if (ids.empty() || static_cast<int64_t>(ids.size()) > context()) {
    return InvalidArgument(fmt::format("prompt: {} tokens, and the context has {}", ids.size(), context()));
  }
  for (const int32_t id : ids) {
    if (id < 0 || id >= parts_.tokenizer.vocab_end()) {
      return InvalidArgument(fmt::format("prompt: {} is no token id", id));
    }
  }
  return {};
}

Status Engine::ReadLogits(std::span<const int32_t> ids, int64_t from,
                          FunctionRef<Status(int64_t place, std::span<const float> logits)> on_logits) try {
  QNEXT_RETURN_IF_ERROR(CheckPrompt(ids));
  return qnext::ReadLogits(*parts_.model, ids, from, on_logits);
} catch (const std::bad_alloc&) {
  return ResourceExhausted(fmt::format("the system has no memory left for the logits of {} tokens", ids.size()));
}

Status Engine::ScorePrompt(std::span<const int32_t> ids, int64_t top_logprobs,
                           FunctionRef<bool(std::span<const PromptScore>)> on_scores) try {
  QNEXT_RETURN_IF_ERROR(CheckPrompt(ids));
  return qnext::ScorePrompt(*parts_.model, ids, parts_.tokenizer.vocab_end(), top_logprobs, on_scores);
} catch (const std::bad_alloc&) {
  return ResourceExhausted(fmt::format("the system has no memory left for scoring a prompt of {} tokens", ids.size()));
}

Result<GenerationResult> Engine::Generate(const Request& request, const GenerationHooks& hooks,
                                          std::optional<SteadyTime> arrival) try {
  QNEXT_RETURN_IF_ERROR(Validate(request));
  Sequence sequence(request, parts_.tokenizer, parts_.eos_ids, context(),
                    arrival.value_or(std::chrono::steady_clock::now()));
  LanguageModel& model = *parts_.model;
  model.Reset();
  sequence.Start();
  const bool samples = model.CanSample(request.sampling);
  if (samples) {
    QNEXT_RETURN_IF_ERROR(model.StartSampling(request.sampling, sequence.seed(), request.stream, request.prompt_ids));
  }
  std::vector<int32_t> input = request.prompt_ids;
  const auto step = [&]() -> Result<Piece> {
    if (hooks.between_steps) hooks.between_steps();
    if (hooks.cancelled && hooks.cancelled()) return Cancelled("by the caller");
    if (samples) {
      QNEXT_ASSIGN_OR_RETURN(const int32_t token, model.ForwardAndSample(input, hooks.cancelled));
      return sequence.Accept(token);
    }
    QNEXT_RETURN_IF_ERROR(model.Forward(input, logits_, hooks.cancelled));
    return sequence.Advance(logits_);
  };
  while (!sequence.finished()) {
    const Result<Piece> piece = step();
    if (piece.status().code() == StatusCode::kCancelled) {
      sequence.Cancel();
      break;
    }
    QNEXT_RETURN_IF_ERROR(piece.status());
    if (hooks.on_piece && !hooks.on_piece(*piece)) sequence.Cancel();
    if (!sequence.finished()) input.assign(1, sequence.next_input());
  }
  return sequence.TakeResult();
} catch (const std::bad_alloc&) {
  // The end of this request only: the next one begins with model.Reset().
  return ResourceExhausted(
      fmt::format("the system has no memory left for this request of {} tokens", request.prompt_ids.size()));
}

std::string Describe(const SimulatedRouting& routing) {
  return fmt::format("simulated: {}, {:.2f} bits of entropy of at most {:.2f}", RoutingName(routing.kind),
                     routing.entropy_bits, routing.most_bits);
}

Result<int64_t> ChooseContext(std::optional<int64_t> wanted, const ModelConfig& config) {
  const int64_t most = config.max_position_embeddings;
  if (!wanted) return std::min(kDefaultContext, most);
  if (*wanted < 2) return InvalidArgument(fmt::format("ctx: must be at least 2 tokens, not {}", *wanted));
  if (*wanted > most) {
    return InvalidArgument(fmt::format("ctx: {} tokens are more than the model's {} positions", *wanted, most));
  }
  return *wanted;
}

Result<std::vector<int32_t>> CheckVocabulary(const ModelConfig& config, int32_t vocab_end) {
  if (vocab_end > config.vocab_size) {
    return Corrupt(fmt::format("vocabulary mismatch: the tokenizer has ids up to {}, config.json a vocab_size of {}",
                               vocab_end - 1, config.vocab_size));
  }
  std::vector<int32_t> eos_ids;
  for (const int64_t id : config.eos_token_ids) {
    if (id < 0 || id >= vocab_end) {
      return Corrupt(fmt::format("eos_token_id: {} is outside the vocabulary of {} tokens", id, vocab_end));
    }
    eos_ids.push_back(static_cast<int32_t>(id));
  }
  return eos_ids;
}

}  // namespace qnext
