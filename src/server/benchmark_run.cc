#include "server/benchmark_run.h"

#include <fmt/format.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/check.h"
#include "base/random.h"
#include "bench/statistics.h"
#include "metrics/timeline.h"
#include "server/format_parts.h"
#include "server/json_text.h"
#include "server/process_memory.h"
#include "server/request_checks.h"

namespace qnext::server {
namespace {

constexpr int64_t kOutput = 100;

// As `qnext bench` draws tokens: what the model's authors recommend, and end-of-sequence ignored.
GenerateRequest MakeRequest(const std::vector<int32_t>& text, const WorkloadCase& work, uint64_t seed, uint64_t run) {
  GenerateRequest request;
  request.prompt = MakePrompt(text, work.prompt_tokens, Random(seed, run));
  request.max_tokens = work.output_tokens;
  request.sampling = {.temperature = 0.7, .top_k = 20, .top_p = 0.8, .seed = seed + run};
  request.ignore_eos = true;
  return request;
}

Result<BenchmarkIteration> RunOne(Backend& backend, const GenerateRequest& request, const WorkloadCase& work,
                                  const std::function<bool()>& go_on) {
  RequestTimeline timeline(std::chrono::steady_clock::now());
  timeline.Reserve(work.output_tokens);
  const auto on_event = [&](const GenerationEvent& event) {
    const SteadyTime now = std::chrono::steady_clock::now();
    for (size_t i = 0; i < event.tokens.size(); ++i) timeline.AddToken(now);
    return go_on();
  };
  timeline.Start(timeline.arrival(), work.prompt_tokens);
  QNEXT_ASSIGN_OR_RETURN(const GenerateResult result, backend.Generate(request, on_event));
  const TimelineSummary summary = timeline.Summarize();
  if (result.completion_tokens != work.output_tokens || !summary.decode_tokens_per_second) {
    return Internal(
        fmt::format("benchmark: {} tokens came where {} were asked for", result.completion_tokens, work.output_tokens));
  }
  return BenchmarkIteration{.work = work,
                            .tokens_per_second = *summary.decode_tokens_per_second,
                            .memory_bytes = ReadProcessMemory().resident_bytes + backend.Memory().gpu_used};
}

class BenchmarkJob final : public Job {
 public:
  BenchmarkJob(BenchmarkWork work, std::shared_ptr<Backend> backend, std::shared_ptr<HttpExchange> exchange,
               std::function<void(int status)> on_answer)
      : work_(std::move(work)),
        backend_(std::move(backend)),
        exchange_(std::move(exchange)),
        on_answer_(std::move(on_answer)) {}

  bool abandoned() const override { return exchange_->client_gone(); }

  void Run(const std::atomic<bool>& cancel) override {
    const auto go_on = [&] { return !cancel && !exchange_->client_gone(); };
    const Result<std::vector<BenchmarkIteration>> done =
        RunIterations(*backend_, work_.cases, work_.request.iterations, work_.seed, go_on);
    if (done.ok()) return Send({.body = FormatBenchmark(work_.request.type, *done)});
    if (done.status().code() != StatusCode::kCancelled) return Send(ErrorResponse(FromStatus(done.status())));
    Send(ErrorResponse(cancel ? ShuttingDown() : ClientGone()));
  }

  void Refuse(Refusal why, const std::string& detail) override {
    switch (why) {
      case Refusal::kShuttingDown:
        return Send(ErrorResponse(ShuttingDown()));
      case Refusal::kAbandoned:
        return Send(ErrorResponse(ClientGone()));
      case Refusal::kFailed:
        return Send(ErrorResponse({.http_status = 500, .message = detail}));
    }
  }

 private:
  static ApiError ClientGone() {
    return {.http_status = 499, .message = "the client closed the connection", .code = "client_gone"};
  }
  void Send(HttpResponse response) {
    on_answer_(response.status);
    exchange_->Send(std::move(response));
  }

  const BenchmarkWork work_;
  const std::shared_ptr<Backend> backend_;
  const std::shared_ptr<HttpExchange> exchange_;
  const std::function<void(int status)> on_answer_;
};

}  // namespace

std::string_view BenchmarkTypeName(BenchmarkType type) {
  switch (type) {
    case BenchmarkType::kStandard:
      return "standard";
    case BenchmarkType::kStress:
      return "stress";
    case BenchmarkType::kMemory:
      return "memory";
  }
  QNEXT_CHECK(false, "a type of benchmark");
}

std::vector<WorkloadCase> BenchmarkCases(BenchmarkType type, int64_t context) {
  std::vector<int64_t> prompts;
  switch (type) {
    case BenchmarkType::kStandard:
      prompts = {50, 200, 500, 1000};
      break;
    case BenchmarkType::kStress:
      prompts = {200};
      break;
    case BenchmarkType::kMemory:
      prompts = {50, 200, 500, 1000, 2000, 4000, 8000};
      break;
  }
  std::vector<WorkloadCase> cases;
  for (const int64_t prompt : prompts) {
    const WorkloadCase work{.prompt_tokens = prompt, .output_tokens = kOutput};
    if (work.context() <= context) cases.push_back(work);
  }
  return cases;
}

std::string FormatBenchmark(BenchmarkType type, const std::vector<BenchmarkIteration>& iterations) {
  QNEXT_CHECK(!iterations.empty(), "a benchmark has iterations");
  std::vector<double> speeds, memory;
  nlohmann::ordered_json prompts = nlohmann::ordered_json::array();
  for (const BenchmarkIteration& one : iterations) {
    speeds.push_back(one.tokens_per_second);
    memory.push_back(Gigabytes(one.memory_bytes));
    prompts.push_back({{"prompt_length", one.work.prompt_tokens},
                       {"output_length", one.work.output_tokens},
                       {"tokens_per_second", one.tokens_per_second}});
  }
  const Spread spread = SpreadOf(speeds);
  return ToText({{"benchmark_type", BenchmarkTypeName(type)},
                 {"iterations", spread.samples},
                 {"avg_tokens_per_second", spread.mean},
                 {"min_tokens_per_second", spread.min},
                 {"max_tokens_per_second", spread.max},
                 {"p95_tokens_per_second", Percentile(speeds, 0.95)},
                 {"avg_memory_usage_gb", SpreadOf(memory).mean},
                 {"test_prompts", std::move(prompts)}});
}

Result<std::vector<BenchmarkIteration>> RunIterations(Backend& backend, const std::vector<WorkloadCase>& cases,
                                                      int64_t iterations, uint64_t seed,
                                                      const std::function<bool()>& go_on) {
  QNEXT_ASSIGN_OR_RETURN(const std::vector<int32_t> text, backend.Tokenize(BenchmarkText(), /*parse_special=*/false));
  std::vector<BenchmarkIteration> done;
  for (int64_t i = -1; i < iterations; ++i) {
    const WorkloadCase& work = i < 0 ? cases.front() : cases[static_cast<size_t>(i) % cases.size()];
    const GenerateRequest request = MakeRequest(text, work, seed, static_cast<uint64_t>(i + 1));
    QNEXT_ASSIGN_OR_RETURN(const BenchmarkIteration one, RunOne(backend, request, work, go_on));
    if (i >= 0) done.push_back(one);
  }
  return done;
}

std::unique_ptr<Job> MakeBenchmarkJob(BenchmarkWork work, std::shared_ptr<Backend> backend,
                                      std::shared_ptr<HttpExchange> exchange,
                                      std::function<void(int status)> on_answer) {
  return std::make_unique<BenchmarkJob>(std::move(work), std::move(backend), std::move(exchange), std::move(on_answer));
}

}  // namespace qnext::server
