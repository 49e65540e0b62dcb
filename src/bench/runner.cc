#include "bench/runner.h"

#include <fmt/core.h>

#include <chrono>

namespace qnext {
namespace {

double SteadySeconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Numbers the runs and holds each against what was asked for.
class Runs {
 public:
  Runs(Target& target, int64_t steps, const RunnerOptions& options)
      : target_(target), steps_(steps), options_(options) {}

  Result<RunSample> Next(const WorkloadCase& work, const char* kind) {
    const std::string what =
        fmt::format("{}: {} tokens of prompt, {} of output", kind, work.prompt_tokens, work.output_tokens);
    if (options_.progress) options_.progress(done_ + 1, steps_, what);
    QNEXT_ASSIGN_OR_RETURN(RunSample sample, target_.Run(work, done_++));
    const bool differs =
        sample.summary.prompt_tokens != work.prompt_tokens || sample.summary.completion_tokens != work.output_tokens;
    if (differs && target_.exact_lengths()) {
      return Internal(fmt::format("{}: the target ran {} tokens of prompt and {} of output", what,
                                  sample.summary.prompt_tokens, sample.summary.completion_tokens));
    }
    return sample;
  }

 private:
  Target& target_;
  const int64_t steps_;
  const RunnerOptions& options_;
  int64_t done_ = 0;
};

void AddIfPresent(std::vector<double>& values, const std::optional<double>& value) {
  if (value) values.push_back(*value);
}

}  // namespace

Result<LoadResult> RunWorkload(Target& target, const Workload& workload, const RunnerOptions& options) {
  const std::function<double()> clock = options.seconds ? options.seconds : SteadySeconds;
  const double start = clock();
  LoadResult result;
  for (const WorkloadCase& work : workload.cases) result.cases.push_back({.work = work, .samples = {}});
  Runs runs(target, workload.runs(), options);
  for (int i = 0; i < workload.warmups; ++i) {
    const Result<RunSample> ignored = runs.Next(workload.cases.front(), "warm-up");
    if (!ignored.ok()) return ignored.status();
  }
  for (int repetition = 0; repetition < workload.repetitions; ++repetition) {
    for (CaseResult& one : result.cases) {
      if (repetition > 0 && options.time_limit_seconds > 0 && clock() - start >= options.time_limit_seconds) {
        result.cut_short = true;
        return result;
      }
      QNEXT_ASSIGN_OR_RETURN(RunSample sample, runs.Next(one.work, "run"));
      one.samples.push_back(std::move(sample));
    }
  }
  return result;
}

CaseFigures FiguresOf(const CaseResult& result) {
  std::vector<double> decode, prefill, first, gaps;
  for (const RunSample& sample : result.samples) {
    AddIfPresent(decode, sample.summary.decode_tokens_per_second);
    AddIfPresent(prefill, sample.summary.prefill_tokens_per_second);
    AddIfPresent(first, sample.summary.first_token_seconds);
    gaps.insert(gaps.end(), sample.inter_token_seconds.begin(), sample.inter_token_seconds.end());
  }
  CaseFigures figures{.decode_tokens_per_second = SpreadOf(decode),
                      .prefill_tokens_per_second = SpreadOf(prefill),
                      .first_token_seconds = SpreadOf(first)};
  if (!gaps.empty()) {
    figures.inter_token_median_seconds = Percentile(gaps, 0.5);
    figures.inter_token_p95_seconds = Percentile(gaps, 0.95);
    figures.inter_token_p99_seconds = Percentile(gaps, 0.99);
  }
  return figures;
}

}  // namespace qnext
