#include "server/generation_job.h"

#include <utility>

#include "server/format_parts.h"
#include "server/process_memory.h"
#include "server/request_checks.h"

namespace qnext::server {
namespace {

using Clock = std::chrono::steady_clock;

double Seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

class GenerationJob final : public Job {
 public:
  GenerationJob(GenerationWork work, std::shared_ptr<Backend> backend, std::shared_ptr<HttpExchange> exchange,
                std::unique_ptr<AnswerSink> sink, ServerMetrics& metrics)
      : work_(std::move(work)),
        backend_(std::move(backend)),
        exchange_(std::move(exchange)),
        sink_(std::move(sink)),
        metrics_(metrics) {}

  bool abandoned() const override { return exchange_->client_gone(); }

  void Refuse(Refusal why, const std::string& detail) override {
    switch (why) {
      case Refusal::kShuttingDown:
        return sink_->Fail(ShuttingDown());
      case Refusal::kAbandoned:
        return sink_->Fail(ClientGone());
      case Refusal::kFailed:
        return sink_->Fail({.http_status = 500, .message = detail});
    }
  }

  void Run(const std::atomic<bool>& cancel) override {
    metrics_.ObserveQueueWait(Seconds(Clock::now() - work_.arrival));
    int64_t index = 0;
    for (PromptWork& prompt : work_.prompts) {
      for (int64_t i = 0; i < work_.n; ++i) {
        if (!RunOne(prompt, i, index, cancel)) return;
        ++index;
      }
    }
    const MemoryUse memory = backend_->Memory();
    totals_.memory_used_bytes = ReadProcessMemory().resident_bytes + memory.gpu_used;
    sink_->Done(totals_);
  }

 private:
  // Only a client that closed its sending side alone will ever read it; it also is what the metrics count.
  static ApiError ClientGone() {
    return {.http_status = 499, .message = "the client closed the connection", .code = "client_gone"};
  }

  // One answer to one prompt. False when the job is over: the error has been sent, or nobody is there to read it.
  bool RunOne(const PromptWork& prompt, int64_t i, int64_t index, const std::atomic<bool>& cancel) {
    GenerateRequest request = prompt.request;
    request.stream = static_cast<uint64_t>(i);
    sink_->Open(index);
    counter_ = {};
    prompt_begun_ = false;
    if (!prompt.echo.empty()) sink_->Piece(prompt.echo, {});
    if (request.max_tokens == 0 && !request.prompt_logprobs) {
      CountUsage({.prompt_tokens = PromptTokens(request)}, i);
      sink_->Close(FinishReason::kLength);
      return true;
    }
    Result<GenerateResult> result = Generate(request, cancel);
    if (!result.ok()) return FailWith(result.status(), cancel);
    CountUsage(*result, i);
    sink_->Close(result->finish_reason);
    return true;
  }

  Result<GenerateResult> Generate(const GenerateRequest& request, const std::atomic<bool>& cancel) {
    const Clock::time_point start = Clock::now();
    Clock::time_point last_token{};
    bool any = false;
    const auto on_event = [&](const GenerationEvent& event) {
      if (cancel || exchange_->client_gone()) return false;
      if (!event.tokens.empty()) {
        const Clock::time_point now = Clock::now();
        const auto count = static_cast<int64_t>(event.tokens.size());
        if (!std::exchange(any, true)) {
          metrics_.ObserveFirstToken(Seconds(now - work_.arrival), PromptTokens(request));
        } else {
          metrics_.ObserveTokens(count, Seconds(now - last_token));
        }
        metrics_.CountTokens(count);
        last_token = now;
      }
      if (!event.prompt.empty()) SendPromptScores(event.prompt);
      sink_->Piece(event.text, request.logprobs ? Resolve(event.tokens) : std::vector<AnswerToken>());
      return true;
    };
    Result<GenerateResult> result = backend_->Generate(request, on_event);
    const double seconds = Seconds(Clock::now() - start);
    totals_.generation_seconds += seconds;
    metrics_.CountGeneration(EndOf(result), result.ok() ? result->cached_prompt_tokens : 0, seconds);
    return result;
  }

  static GenerationEnd EndOf(const Result<GenerateResult>& result) {
    if (!result.ok()) {
      return result.status().code() == StatusCode::kCancelled ? GenerationEnd::kCancelled : GenerationEnd::kError;
    }
    return result->finish_reason == FinishReason::kStop ? GenerationEnd::kStop : GenerationEnd::kLength;
  }

  bool FailWith(const Status& status, const std::atomic<bool>& cancel) {
    if (status.code() != StatusCode::kCancelled) {
      sink_->Fail(FromStatus(status));
    } else {
      sink_->Fail(cancel ? ShuttingDown() : ClientGone());
    }
    return false;
  }

  void SendPromptScores(std::span<const ScoredToken> prompt) {
    std::vector<AnswerToken> tokens = Resolve(prompt);
    if (!std::exchange(prompt_begun_, true)) tokens.front().scored = false;
    sink_->Piece("", std::move(tokens));
  }

  // A prompt counts once, however many answers it gets.
  void CountUsage(const GenerateResult& result, int64_t i) {
    totals_.usage.completion_tokens += result.completion_tokens;
    if (i > 0) return;
    totals_.usage.prompt_tokens += result.prompt_tokens;
    totals_.usage.cached_prompt_tokens += result.cached_prompt_tokens;
  }

  static int64_t PromptTokens(const GenerateRequest& request) { return static_cast<int64_t>(request.prompt.size()); }

  std::vector<AnswerToken> Resolve(std::span<const ScoredToken> tokens) {
    std::vector<AnswerToken> out;
    out.reserve(tokens.size());
    for (const ScoredToken& token : tokens) {
      AnswerToken answer{.token = {backend_->TokenBytes(token.id), token.logprob}};
      answer.text_offset = counter_.Add(answer.token.bytes);
      for (const TokenLogprob& other : token.top) answer.top.push_back({backend_->TokenBytes(other.id), other.logprob});
      out.push_back(std::move(answer));
    }
    return out;
  }

  GenerationWork work_;
  std::shared_ptr<Backend> backend_;
  std::shared_ptr<HttpExchange> exchange_;
  std::unique_ptr<AnswerSink> sink_;
  ServerMetrics& metrics_;
  AnswerTotals totals_;
  CharacterCounter counter_;   // of the choice's tokens
  bool prompt_begun_ = false;  // its prompt's first token has been sent
};

}  // namespace

std::unique_ptr<Job> MakeGenerationJob(GenerationWork work, std::shared_ptr<Backend> backend,
                                       std::shared_ptr<HttpExchange> exchange, std::unique_ptr<AnswerSink> sink,
                                       ServerMetrics& metrics) {
  return std::make_unique<GenerationJob>(std::move(work), std::move(backend), std::move(exchange), std::move(sink),
                                         metrics);
}

}  // namespace qnext::server
