#include "cli/eval_run.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>

namespace qnext {
namespace {

using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// "1.234 ± 0.005", or "1.234 (standard error not known: the text is too short)".
std::string WithError(double value, const std::optional<double>& error, int digits) {
  if (!error) return fmt::format("{:.{}g} (standard error not known: too short a text)", value, digits);
  return fmt::format("{:.{}g} ± {:.2g}", value, digits, *error);
}

Json JsonOf(const MeanWithError& value) {
  Json json = {{"mean", value.mean}};
  json["standard_error"] = value.standard_error ? Json(*value.standard_error) : Json();
  return json;
}

Json JsonOf(const EvalConfiguration& one) {
  const Perplexity perplexity = PerplexityOf(one.scores);
  Json options = Json::object();
  for (const auto& [name, value] : one.options) options[name] = value;
  Json json = {{"model", one.model}, {"options", options}, {"caveats", one.caveats}};
  json["perplexity"] = {{"value", perplexity.value}};
  json["perplexity"]["standard_error"] = perplexity.standard_error ? Json(*perplexity.standard_error) : Json();
  json["nll"] = JsonOf(perplexity.nll);
  json["tokens_run"] = one.scores.tokens_run;
  json["model_seconds"] = one.scores.model_seconds;
  json["tokens_per_second"] = one.scores.tokens_per_second();
  json["load_seconds"] = one.load_seconds;
  return json;
}

std::string TextOf(const char* title, const EvalConfiguration& one) {
  const Perplexity perplexity = PerplexityOf(one.scores);
  std::string options;
  for (const auto& [name, value] : one.options)
    options += fmt::format("{}{}: {}", options.empty() ? "" : ", ", name, value);
  std::string text = fmt::format("{}: {} ({})\n", title, one.model, options);
  for (const std::string& caveat : one.caveats) text += fmt::format("  {}\n", caveat);
  text += fmt::format("  perplexity              {}\n", WithError(perplexity.value, perplexity.standard_error, 6));
  text +=
      fmt::format("  nats a token            {}\n", WithError(perplexity.nll.mean, perplexity.nll.standard_error, 6));
  text +=
      fmt::format("  tokens per second       {:.4g} ({} tokens in {:.3g} s; loaded in {:.3g} s)\n",
                  one.scores.tokens_per_second(), one.scores.tokens_run, one.scores.model_seconds, one.load_seconds);
  return text;
}

// Of the second's mean less the first's, token by token: most of what the texts have in common falls out of its error.
MeanWithError DifferenceOf(const TextScores& first, const TextScores& second) {
  std::vector<double> difference(first.nll.size());
  for (size_t i = 0; i < difference.size(); ++i) difference[i] = second.nll[i] - first.nll[i];
  return MeanOf(difference);
}

}  // namespace

Result<TextScores> ScoreText(Engine& engine, std::span<const int32_t> ids, std::span<const TextWindow> windows,
                             const TextHooks& hooks) {
  TextScores scores;
  const auto vocab_end = static_cast<size_t>(engine.tokenizer().vocab_end());
  const auto all = static_cast<int64_t>(ids.size()) - 1;
  scores.nll.reserve(static_cast<size_t>(all));
  const Clock::time_point start = Clock::now();
  double bookkeeping = 0;
  for (const TextWindow& window : windows) {
    const auto part = ids.subspan(static_cast<size_t>(window.begin), static_cast<size_t>(window.end - window.begin));
    // The place before a token tells of it.
    const int64_t from = window.first_scored - window.begin - 1;
    const auto score = [&](int64_t place, std::span<const float> padded) -> Status {
      const Clock::time_point begin = Clock::now();
      if (hooks.cancelled && hooks.cancelled()) {
        return Cancelled(fmt::format("interrupted after {} of {} tokens", scores.nll.size(), all));
      }
      const std::span<const float> logits = padded.first(vocab_end);
      QNEXT_ASSIGN_OR_RETURN(const double sum, LogSum(logits));
      const auto next = static_cast<size_t>(part[static_cast<size_t>(place) + 1]);
      const double nll = sum - static_cast<double>(logits[next]);
      if (!std::isfinite(nll))
        return Internal(fmt::format("the model excludes token {} of the text", scores.nll.size() + 1));
      scores.nll.push_back(nll);
      if (hooks.on_logits) QNEXT_RETURN_IF_ERROR(hooks.on_logits(logits));
      if (hooks.on_progress) hooks.on_progress(static_cast<int64_t>(scores.nll.size()), all);
      bookkeeping += SecondsSince(begin);
      return {};
    };
    QNEXT_RETURN_IF_ERROR(engine.ReadLogits(part, from, score));
    scores.tokens_run += static_cast<int64_t>(part.size());
  }
  scores.model_seconds = std::max(SecondsSince(start) - bookkeeping, 0.0);
  return scores;
}

Perplexity PerplexityOf(const TextScores& scores) {
  Perplexity result;
  result.nll = MeanOf(scores.nll);
  result.value = std::exp(result.nll.mean);
  if (result.nll.standard_error) result.standard_error = result.value * *result.nll.standard_error;
  return result;
}

std::string FormatEvalJson(const EvalReport& report) {
  Json json = {{"date", report.date}, {"build", report.build}};
  json["text"] = {{"file", report.text},
                  {"bytes", report.text_bytes},
                  {"tokens", report.tokens},
                  {"scored_tokens", report.tokens - 1},
                  {"cut", report.cut}};
  json["windows"] = {{"tokens", report.window}, {"stride", report.stride}, {"count", report.windows}};
  json["standard_errors"] = fmt::format("from blocks of {} tokens in a row", kErrorBlock);
  json["first"] = JsonOf(report.first);
  if (report.second && report.comparison) {
    const EvalComparison& comparison = *report.comparison;
    json["second"] = JsonOf(*report.second);
    Json kl = JsonOf(MeanOf(comparison.kl));
    kl["p99"] = Percentile(comparison.kl, 0.99);
    kl["max"] = *std::max_element(comparison.kl.begin(), comparison.kl.end());
    kl["unit"] = "nats, KL(first || second)";
    json["comparison"] = {{"kl", kl},
                          {"top1_agreement", JsonOf(MeanOf(comparison.top1))},
                          {"top5_agreement", JsonOf(MeanOf(comparison.top5))},
                          {"nll_difference", JsonOf(DifferenceOf(report.first.scores, report.second->scores))}};
  }
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string FormatEvalText(const EvalReport& report) {
  std::string text = fmt::format(
      "{}: {} tokens{}, {} windows of at most {} tokens, stride {}; standard errors from blocks of {} tokens\n\n",
      report.text, report.tokens, report.cut ? " (the file has more)" : "", report.windows, report.window,
      report.stride, kErrorBlock);
  text += TextOf(report.second ? "first" : "model", report.first);
  if (report.second && report.comparison) {
    const EvalComparison& comparison = *report.comparison;
    text += TextOf("second", *report.second);
    const MeanWithError kl = MeanOf(comparison.kl), top1 = MeanOf(comparison.top1), top5 = MeanOf(comparison.top5);
    const MeanWithError difference = DifferenceOf(report.first.scores, report.second->scores);
    text += "the second against the first\n";
    text += fmt::format("  KL(first || second)     {} nats; p99 {:.3g}, max {:.3g}\n",
                        WithError(kl.mean, kl.standard_error, 4), Percentile(comparison.kl, 0.99),
                        *std::max_element(comparison.kl.begin(), comparison.kl.end()));
    text += fmt::format("  same most likely token  {}\n", WithError(top1.mean, top1.standard_error, 4));
    text += fmt::format("  five most likely shared {}\n", WithError(top5.mean, top5.standard_error, 4));
    text += fmt::format("  nats a token, more      {}\n", WithError(difference.mean, difference.standard_error, 4));
  }
  return text;
}

}  // namespace qnext
