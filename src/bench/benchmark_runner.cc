#include "bench/benchmark_runner.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <tuple>

#include "base/check.h"
#include "bench/number_text.h"

namespace qnext {
namespace {

// Prompts may begin alike with what a tokenizer puts before every text.
constexpr int64_t kCachedSlack = 4;
constexpr double kLongSample = 30;  // seconds
constexpr int64_t kEnoughLongSamples = 3;
constexpr double kWarmUpShare = 0.25;  // the most of a time limit that warm-ups may take

double SteadySeconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// What a run of any length will take, from those that were.
class Forecast {
 public:
  void Add(const TimelineSummary& summary) {
    if (summary.prefill_tokens_per_second && summary.prompt_tokens >= longest_prompt_) {
      longest_prompt_ = summary.prompt_tokens;
      prefill_ = *summary.prefill_tokens_per_second;  // of the longest prompt: short ones are slower by the token
    }
    if (summary.decode_tokens_per_second) decode_ = *summary.decode_tokens_per_second;
  }
  // 0: nothing is known.
  double Seconds(const WorkloadCase& work) const {
    if (prefill_ <= 0 || decode_ <= 0) return 0;
    return static_cast<double>(work.prompt_tokens) / prefill_ + static_cast<double>(work.output_tokens) / decode_;
  }

 private:
  int64_t longest_prompt_ = 0;
  double prefill_ = 0, decode_ = 0;
};

class Runner {
 public:
  Runner(Target& target, const Workload& workload, const BenchmarkRunOptions& options)
      : target_(target),
        workload_(workload),
        options_(options),
        clock_(options.seconds ? options.seconds : SteadySeconds) {
    for (const PlannedCell& cell : workload.cells) {
      cells_.push_back({.kind = cell.kind, .work = cell.work, .wanted_runs = cell.runs, .samples = {}});
    }
    why_.resize(cells_.size());
    TakeUp();
  }

  Result<BenchmarkRun> Run() {
    QNEXT_CHECK(!workload_.endless || options_.time_limit_seconds > 0, "an endless workload ends with the time");
    start_ = clock_();
    QNEXT_RETURN_IF_ERROR(WarmUp());
    warm_ = true;
    for (size_t first = 0; first < cells_.size();) {
      size_t end = first;
      while (end < cells_.size() && workload_.cells[end].tier == workload_.cells[first].tier) ++end;
      QNEXT_RETURN_IF_ERROR(RunTier(first, end));
      first = end;
    }
    return Finish();
  }

 private:
  // Earlier sessions' samples of cells that the workload has.
  void TakeUp() {
    for (const LoggedSample& logged : options_.before) {
      const BenchmarkSample& sample = logged.sample;
      next_run_ = std::max(next_run_, sample.run + 1);
      session_ = std::max(session_, sample.session + 1);
      before_seconds_ = std::max(before_seconds_, sample.start_seconds + sample.measured.summary.total_seconds);
      forecast_.Add(sample.measured.summary);
      if (sample.phase != SamplePhase::kWarm) {
        run_.warm_ups.push_back(sample);
        continue;
      }
      for (BenchmarkCell& cell : cells_) {
        if (cell.kind == logged.kind && cell.work == logged.work) AddTo(cell, sample);
      }
    }
  }

  static void AddTo(BenchmarkCell& cell, const BenchmarkSample& sample) {
    cell.samples.push_back(sample);
    if (sample.measured.summary.total_seconds > kLongSample && cell.wanted_runs > kEnoughLongSamples) {
      cell.wanted_runs = kEnoughLongSamples;
    }
  }

  Status WarmUp() {
    const bool needed = workload_.endless || std::ranges::any_of(cells_, [](const BenchmarkCell& cell) {
                          return static_cast<int64_t>(cell.samples.size()) < cell.wanted_runs;
                        });
    if (!needed || !FitsContext(cells_.front().work)) return {};
    for (int64_t i = 0; i < workload_.warm_ups; ++i) {
      const double limit = options_.time_limit_seconds;
      if (i > 0 && limit > 0 && Elapsed() + Elapsed() / static_cast<double>(i) > kWarmUpShare * limit) break;
      const BenchmarkCell& cell = cells_.front();
      const SamplePhase phase = i == 0 && options_.starts_cold ? SamplePhase::kCold : SamplePhase::kWarmUp;
      QNEXT_ASSIGN_OR_RETURN(BenchmarkSample sample, RunOnce(cell, phase));
      run_.warm_ups.push_back(std::move(sample));
    }
    return {};
  }

  Status RunTier(size_t first, size_t end) {
    if (workload_.endless) return RunEndlessly(first, end);
    bool open = true;
    for (size_t round = 0; open; ++round) {
      open = false;
      for (size_t i = first; i < end; ++i) {
        const size_t done = cells_[i].samples.size();
        if (static_cast<int64_t>(done) >= cells_[i].wanted_runs) continue;
        // Of an earlier session some cells may have more than others.
        if (done <= round) {
          if (!MayRun(i)) continue;
          QNEXT_ASSIGN_OR_RETURN(const BenchmarkSample sample, RunOnce(cells_[i], SamplePhase::kWarm));
          AddTo(cells_[i], sample);
        }
        open = true;
      }
    }
    return {};
  }

  Status RunEndlessly(size_t first, size_t end) {
    for (;;) {
      std::optional<size_t> next;  // the one with the fewest samples
      for (size_t i = first; i < end; ++i) {
        if (MayRun(i) && (!next || cells_[i].samples.size() < cells_[*next].samples.size())) next = i;
      }
      if (!next) return {};
      QNEXT_ASSIGN_OR_RETURN(const BenchmarkSample sample, RunOnce(cells_[*next], SamplePhase::kWarm));
      AddTo(cells_[*next], sample);
    }
  }

  // Otherwise why_ says why not.
  bool MayRun(size_t i) {
    const BenchmarkCell& cell = cells_[i];
    if (!FitsContext(cell.work)) {
      why_[i] = fmt::format("needs a context of {} tokens, and there are {}", cell.work.context(), *options_.context);
      return false;
    }
    if (options_.time_limit_seconds <= 0) return true;
    if (workload_.every_cell_once && cell.samples.empty()) return true;
    const double left = options_.time_limit_seconds - Elapsed();
    if (left <= 0) {
      why_[i] = fmt::format("the time limit of {:g} s was over", options_.time_limit_seconds);
      return false;
    }
    const double takes = Expected(cell);
    if (workload_.endless || takes <= left) return true;
    why_[i] =
        fmt::format("would take about {} s, {} s of the time limit were left", NumberText(takes), NumberText(left));
    return false;
  }

  double Expected(const BenchmarkCell& cell) const {
    if (cell.samples.empty()) return forecast_.Seconds(cell.work);
    std::vector<double> seconds;
    for (const BenchmarkSample& sample : cell.samples) seconds.push_back(sample.measured.summary.total_seconds);
    return Percentile(std::move(seconds), 0.5);
  }

  Result<BenchmarkSample> RunOnce(const BenchmarkCell& cell, SamplePhase phase) {
    const WorkloadCase& work = cell.work;
    const std::string what =
        fmt::format("{}: {} tokens of prompt, {} of output", phase == SamplePhase::kWarm ? "run" : PhaseName(phase),
                    work.prompt_tokens, work.output_tokens);
    if (options_.progress) options_.progress({++step_, Steps(), Elapsed(), options_.time_limit_seconds, what});
    BenchmarkSample sample{
        .phase = phase, .run = next_run_++, .session = session_, .start_seconds = before_seconds_ + Elapsed()};
    QNEXT_ASSIGN_OR_RETURN(sample.measured, target_.Run(work, sample.run));
    const RunSample& measured = sample.measured;
    const TimelineSummary& summary = measured.summary;
    const bool differs = summary.prompt_tokens != work.prompt_tokens || summary.completion_tokens != work.output_tokens;
    if (differs && target_.exact_lengths()) {
      return Internal(fmt::format("{}: the target ran {} tokens of prompt and {} of output", what,
                                  summary.prompt_tokens, summary.completion_tokens));
    }
    if (measured.cached_prompt_tokens > kCachedSlack) {
      return Corrupt(
          fmt::format("{}: {} tokens of the prompt came from a cache, so its speed is not that of a new prompt; turn "
                      "the cache off, or restart the server",
                      what, measured.cached_prompt_tokens));
    }
    forecast_.Add(summary);
    if (options_.keep) QNEXT_RETURN_IF_ERROR(options_.keep({cell.kind, work, sample}));
    return sample;
  }

  // Runs of this session, as far as they are known.
  int64_t Steps() const {
    if (workload_.endless) return 0;
    int64_t open = 0;
    for (const BenchmarkCell& cell : cells_) {
      const auto done = static_cast<int64_t>(cell.samples.size());
      if (FitsContext(cell.work)) open += std::max<int64_t>(0, cell.wanted_runs - done);
    }
    const int64_t warming = warm_ ? 0 : workload_.warm_ups - step_ + 1;
    return step_ - 1 + open + warming;
  }

  bool FitsContext(const WorkloadCase& work) const { return !options_.context || work.context() <= *options_.context; }
  double Elapsed() const { return clock_() - start_; }

  BenchmarkRun Finish() {
    for (size_t i = 0; i < cells_.size(); ++i) {
      const BenchmarkCell& cell = cells_[i];
      const auto runs = static_cast<int64_t>(cell.samples.size());
      if (workload_.endless ? runs > 0 : runs >= cell.wanted_runs) continue;
      run_.left_out.push_back(
          {.kind = cell.kind, .work = cell.work, .runs = runs, .wanted_runs = cell.wanted_runs, .why = why_[i]});
    }
    std::erase_if(cells_, [](const BenchmarkCell& cell) { return cell.samples.empty(); });
    std::ranges::stable_sort(cells_, {}, [](const BenchmarkCell& cell) {
      return std::tuple(cell.kind, cell.work.output_tokens, cell.work.prompt_tokens);
    });
    run_.cells = std::move(cells_);
    run_.seconds = before_seconds_ + Elapsed();
    return std::move(run_);
  }

  Target& target_;
  const Workload& workload_;
  const BenchmarkRunOptions& options_;
  const std::function<double()> clock_;
  double start_ = 0;
  double before_seconds_ = 0;  // of earlier sessions
  int64_t next_run_ = 0, session_ = 0;
  int64_t step_ = 0;  // runs of this session that have begun
  bool warm_ = false;
  Forecast forecast_;
  std::vector<BenchmarkCell> cells_;  // as in the workload
  std::vector<std::string> why_;      // by cell: why its last run did not come
  BenchmarkRun run_;
};

}  // namespace

Result<BenchmarkRun> RunBenchmark(Target& target, const Workload& workload, const BenchmarkRunOptions& options) {
  return Runner(target, workload, options).Run();
}

}  // namespace qnext
