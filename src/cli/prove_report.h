// ProveReport: what a proof found, its verdict, and its two forms.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "bench/facts.h"
#include "bench/statistics.h"
#include "bench/target.h"
#include "cli/eval_run.h"
#include "cli/memory_table.h"
#include "cli/prove_questions.h"

namespace qnext {

enum class StepState : uint8_t {
  kNotRun,  // something before it failed, or the program ended before it came to it
  kRunning,
  kOk,
  kFailed,
  kSkipped,  // it would mean nothing here; `says` has the reason
};
std::string_view StepStateName(StepState state);  // "not run", "running", "ok", "FAILED", "skipped"

struct ProveStep {
  std::string name;
  bool decides = true;  // false: its failure is told and does not change the verdict
  StepState state = StepState::kNotRun;
  std::string says;  // one line: what was found, or why not
  double seconds = 0;
};

struct ProveAnswer {
  std::string question, expected, answer;
  bool right = false;
};

constexpr double kTargetSpeed = 5;  // tokens per second
constexpr double kWindowSeconds = 10;

// The window of decoding in which the fewest tokens came.
struct SlowestWindow {
  double tokens_per_second = 0;
  double seconds = 0;  // kWindowSeconds, or all there was where that is less
  int64_t tokens = 0;
};

// Of the times between tokens, runs joined end to end (the prompts' time is not in them): the fewest tokens in any
// `window` seconds. Where they are shorter in all, that is the window; nothing for none.
std::optional<SlowestWindow> FindSlowestWindow(std::span<const double> gaps, double window = kWindowSeconds);

// A case of the quick benchmark, with all its runs.
struct ProveCase {
  WorkloadCase work;
  std::vector<RunSample> samples;

  Spread decode_tokens_per_second() const;
  Spread first_token_seconds() const;
};

struct ProveReport {
  std::string date, build;
  std::string model;  // the folder, or the synthetic kind
  bool synthetic = false;
  std::optional<bool> is_the_80b;  // by its shape; absent: never loaded
  std::vector<FactGroup> facts;    // the machine; once loaded, the model and the options
  std::vector<std::string> caveats;
  std::vector<ProveStep> steps;  // in order

  std::optional<KnownModel> known;
  std::vector<ProveAnswer> answers;
  std::optional<Perplexity> perplexity;
  int64_t perplexity_tokens = 0;

  std::vector<ProveCase> benchmark;      // the quick benchmark
  std::vector<RunSample> sustained;      // further runs, until there was enough to look at
  std::optional<double> median;          // tokens per second: of the slowest case of the benchmark
  std::optional<SlowestWindow> slowest;  // over all of those runs

  std::vector<PlanRow> memory;  // planned; empty on the CPU
  MemoryUsed used;
  int64_t weight_bytes = 0, peak_bytes = 0;  // of the process; 0: not known

  std::vector<std::string> files;  // in the folder

  ProveStep* Find(std::string_view name);
};

struct Verdict {
  bool pass = false;
  std::vector<std::string> reasons;  // against; none where it passes
};
// PASS: every step that decides is done or was skipped with a reason, and the median and the slowest window (a whole
// one) reach the target.
Verdict Judge(const ProveReport& report);

// "PASS", "FAIL", with what the verdict is about.
std::string VerdictLine(const ProveReport& report);

std::string FormatProveJson(const ProveReport& report);  // keys are stable, new ones may be added
std::string FormatProveMarkdown(const ProveReport& report);

}  // namespace qnext
