// What qnext eval does with a loaded model, and how it prints what came out.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/function_ref.h"
#include "base/status.h"
#include "cli/eval_statistics.h"
#include "engine/engine.h"

namespace qnext {

// How likely a model finds a text.
struct TextScores {
  std::vector<double> nll;   // [tokens - 1] -ln of the probability of each token but the first
  int64_t tokens_run = 0;    // that went through the model, those of overlapping windows as often as they did
  double model_seconds = 0;  // in the model, without the bookkeeping

  double tokens_per_second() const { return model_seconds > 0 ? static_cast<double>(tokens_run) / model_seconds : 0; }
};

struct TextHooks {
  // The logits [vocab_end] of each scored token's place, in order of the tokens; may be empty.
  std::function<Status(std::span<const float> logits)> on_logits;
  std::function<bool()> cancelled;                             // asked at each; may be empty
  std::function<void(int64_t done, int64_t all)> on_progress;  // scored tokens; may be empty
};

// Runs the windows of `ids` through the model.
Result<TextScores> ScoreText(Engine& engine, std::span<const int32_t> ids, std::span<const TextWindow> windows,
                             const TextHooks& hooks);

struct Perplexity {
  MeanWithError nll;
  double value = 0;                      // exp(nll)
  std::optional<double> standard_error;  // value times that of nll
};
Perplexity PerplexityOf(const TextScores& scores);

// One configuration's part of the report.
struct EvalConfiguration {
  std::string model;
  std::vector<std::pair<std::string, std::string>> options;
  std::vector<std::string> caveats;
  double load_seconds = 0;
  TextScores scores;
};

struct EvalComparison {
  std::vector<double> kl;    // [scored tokens], in nats
  std::vector<double> top1;  // 1 where the most likely token is the same, else 0
  std::vector<double> top5;  // the share of the five most likely that both have
};

struct EvalReport {
  std::string date, build;
  std::string text;  // the file
  int64_t text_bytes = 0, tokens = 0;
  bool cut = false;  // the file has more tokens
  int64_t window = 0, stride = 0, windows = 0;
  EvalConfiguration first;
  std::optional<EvalConfiguration> second;
  std::optional<EvalComparison> comparison;  // where there is a second
};

std::string FormatEvalJson(const EvalReport& report);  // one object, indented; keys are stable, new ones may be added
std::string FormatEvalText(const EvalReport& report);  // for people; ends with a line break

}  // namespace qnext
