// The endpoints that generate: from a parsed request to a job in the queue.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <nlohmann/json.hpp>
#include <utility>

#include "server/api.h"
#include "server/benchmark_run.h"
#include "server/chat_parse.h"
#include "server/completions_parse.h"
#include "server/plain_parse.h"
#include "server/request_checks.h"

namespace qnext::server {
namespace {

constexpr int64_t kCompletionTokensDefault = 16;  // OpenAI's

std::optional<ApiError> CheckModelAndBias(const GenerationFields& fields, const ModelInfo& model) {
  if (fields.model && *fields.model != model.id) return ModelNotFound(*fields.model, model.id);
  for (const auto& [id, bias] : fields.sampling.logit_bias) {
    if (id >= model.vocab_size) {
      return InvalidField(fmt::format("logit_bias.{}", id),
                          fmt::format("no such token; the vocabulary has {}", model.vocab_size));
    }
  }
  return std::nullopt;
}

GenerateRequest MakeGenerateRequest(const GenerationFields& fields, uint64_t seed) {
  GenerateRequest request{
      .sampling = fields.sampling, .stop = fields.stop, .logprobs = fields.logprobs, .ignore_eos = fields.ignore_eos};
  request.sampling.seed = seed;
  return request;
}

}  // namespace

std::optional<HttpResponse> Api::ChatCompletions(const Call& call) {
  const ModelInfo& model = call.backend->model();
  auto parsed = ParseChatRequest(call.request.body, model.default_sampling);
  if (!parsed.ok()) return ErrorResponse(parsed.error());
  const GenerationFields& fields = parsed->common;
  if (const auto error = CheckModelAndBias(fields, model)) return ErrorResponse(*error);
  const auto text = call.backend->ApplyTemplate(*parsed->variables);
  if (!text.ok()) {
    ApiError error = FromStatus(text.status().WithContext("messages"));
    error.param = "messages";
    return ErrorResponse(error);
  }
  if (const auto error = CheckTextFits(*text, "messages", fields.max_tokens, *call.backend)) {
    return ErrorResponse(*error);
  }
  auto tokens = call.backend->Tokenize(*text, /*parse_special=*/true);
  if (!tokens.ok()) return ErrorResponse(FromStatus(tokens.status()));

  PromptWork prompt;
  prompt.request = MakeGenerateRequest(fields, fields.seed ? static_cast<uint64_t>(*fields.seed) : NextRandom());
  prompt.request.prompt = *std::move(tokens);
  prompt.request.chat = true;
  if (const auto error = FitContext(prompt.request, "messages", fields.max_tokens, model)) return ErrorResponse(*error);
  Submission submission;
  submission.work.prompts.push_back(std::move(prompt));
  submission.work.n = fields.n;
  submission.format = ChatFormat(MakeHead(call, "chatcmpl", fields));
  submission.stream = fields.stream;
  submission.logprobs = fields.logprobs.has_value();
  return Submit(call, std::move(submission));
}

std::optional<HttpResponse> Api::Completions(const Call& call) {
  const ModelInfo& model = call.backend->model();
  auto parsed = ParseCompletionRequest(call.request.body, model.default_sampling);
  if (!parsed.ok()) return ErrorResponse(parsed.error());
  const GenerationFields& fields = parsed->common;
  if (const auto error = CheckModelAndBias(fields, model)) return ErrorResponse(*error);
  const bool score_prompt = parsed->echo && fields.logprobs;
  if (score_prompt && !model.supports_prompt_logprobs) {
    return ErrorResponse(InvalidField("logprobs", "together with echo: this model does not score prompts"));
  }

  Submission submission;
  const uint64_t seed = fields.seed ? static_cast<uint64_t>(*fields.seed) : NextRandom();
  for (size_t i = 0; i < parsed->prompts.size(); ++i) {
    const std::string path = parsed->prompts.size() == 1 ? "prompt" : fmt::format("prompt[{}]", i);
    PromptWork prompt;
    prompt.request = MakeGenerateRequest(fields, seed);
    prompt.request.prompt_logprobs = score_prompt;
    const int64_t max_tokens = fields.max_tokens.value_or(kCompletionTokensDefault);
    auto tokens = ReadPrompt(parsed->prompts[i], path, max_tokens, *call.backend);
    if (!tokens.ok()) return ErrorResponse(tokens.error());
    prompt.request.prompt = *std::move(tokens);
    if (const auto error = FitContext(prompt.request, path, max_tokens, model)) return ErrorResponse(*error);
    if (parsed->echo) {
      auto echo = EchoText(parsed->prompts[i], *call.backend);
      if (!echo.ok()) return ErrorResponse(FromStatus(echo.status()));
      prompt.echo = *std::move(echo);
    }
    submission.work.prompts.push_back(std::move(prompt));
  }
  submission.work.n = fields.n;
  submission.format = CompletionFormat(MakeHead(call, "cmpl", fields));
  submission.stream = fields.stream;
  submission.logprobs = fields.logprobs.has_value();
  return Submit(call, std::move(submission));
}

std::optional<HttpResponse> Api::Inference(const Call& call) {
  const ModelInfo& model = call.backend->model();
  auto parsed = ParseInferenceRequest(call.request.body);
  if (!parsed.ok()) return ErrorResponse(parsed.error());
  auto tokens = ReadPrompt(parsed->prompt, "prompt", parsed->max_tokens, *call.backend);
  if (!tokens.ok()) return ErrorResponse(tokens.error());

  PromptWork prompt;
  prompt.request.sampling = model.default_sampling;
  prompt.request.sampling.temperature = parsed->temperature;
  prompt.request.sampling.seed = NextRandom();
  prompt.request.prompt = *std::move(tokens);
  if (const auto error = FitContext(prompt.request, "prompt", parsed->max_tokens, model)) return ErrorResponse(*error);
  Submission submission;
  submission.work.prompts.push_back(std::move(prompt));
  submission.format = InferenceFormat();
  submission.stream = parsed->stream;
  return Submit(call, std::move(submission));
}

// While something runs or waits the figures would be of both, and others would wait for long.
std::optional<HttpResponse> Api::Benchmark(const Call& call) {
  auto parsed = ParseBenchmarkRequest(call.request.body);
  if (!parsed.ok()) return ErrorResponse(parsed.error());
  const int64_t context = call.backend->model().context_length;
  BenchmarkWork work{.request = *parsed, .cases = BenchmarkCases(parsed->type, context), .seed = NextRandom()};
  if (work.cases.empty()) {
    return ErrorResponse(InvalidField(
        "test_type", fmt::format("{} does not fit a context of {} tokens", BenchmarkTypeName(parsed->type), context)));
  }
  if (queue_.running() + queue_.waiting() > 0) {
    ApiError error = QueueFull();
    error.code = "busy";
    error.message = fmt::format("a benchmark needs the engine for itself: {} running, {} waiting", queue_.running(),
                                queue_.waiting());
    return ErrorResponse(error);
  }
  auto job = MakeBenchmarkJob(
      std::move(work), call.backend, call.exchange,
      [this, endpoint = call.match.route->path](int status) { metrics_.CountRequest(endpoint, status); });
  switch (queue_.Submit(job)) {
    case JobQueue::Submitted::kAccepted:
      return std::nullopt;
    case JobQueue::Submitted::kFull:
      return ErrorResponse(QueueFull());
    case JobQueue::Submitted::kClosed:
      break;
  }
  return ErrorResponse(ShuttingDown());
}

AnswerHead Api::MakeHead(const Call& call, std::string_view prefix, const GenerationFields& fields) {
  const ModelInfo& model = call.backend->model();
  return {.id = fmt::format("{}-{:016x}", prefix, NextRandom()),
          .model = model.id,
          .fingerprint = model.fingerprint,
          .created_unix = std::time(nullptr),
          .include_usage = fields.include_usage};
}

ApiError Api::QueueFull() const {
  // One request's usual time is when the next place becomes free.
  const MetricsSnapshot metrics = metrics_.Snapshot();
  int64_t generations = 0;
  for (const auto& [end, count] : metrics.generations) generations += count;
  const double usual = generations > 0 ? metrics.generation_seconds / static_cast<double>(generations) : 1;
  return {.http_status = 429,
          .message = fmt::format("all places are taken: {} running, {} waiting", queue_.running(), queue_.waiting()),
          .code = "queue_full",
          .retry_after_seconds = static_cast<int>(std::clamp(std::ceil(usual), 1.0, 60.0))};
}

std::optional<HttpResponse> Api::Submit(const Call& call, Submission submission) {
  submission.work.arrival = call.arrival;
  AnswerSinkOptions options{.exchange = call.exchange,
                            .format = std::move(submission.format),
                            .stream = submission.stream,
                            .logprobs = submission.logprobs};
  options.on_answer = [this, endpoint = call.match.route->path](int status) {
    metrics_.CountRequest(endpoint, status);
  };
  auto job = MakeGenerationJob(std::move(submission.work), call.backend, call.exchange,
                               MakeAnswerSink(std::move(options)), metrics_);
  switch (queue_.Submit(job)) {
    case JobQueue::Submitted::kAccepted:
      return std::nullopt;
    case JobQueue::Submitted::kFull:
      return ErrorResponse(QueueFull());
    case JobQueue::Submitted::kClosed:
      break;
  }
  return ErrorResponse(ShuttingDown());
}

}  // namespace qnext::server
