#include "cli/prove_report.h"

#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/bytes.h"
#include "cli/output.h"
#include "text/utf8.h"

namespace qnext {
namespace {

using Json = nlohmann::ordered_json;

template <typename T>
Json OrNull(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

Json SampleJson(const RunSample& sample) {
  return {{"prompt_tokens", sample.summary.prompt_tokens},
          {"completion_tokens", sample.summary.completion_tokens},
          {"first_token_seconds", OrNull(sample.summary.first_token_seconds)},
          {"prefill_tokens_per_second", OrNull(sample.summary.prefill_tokens_per_second)},
          {"decode_tokens_per_second", OrNull(sample.summary.decode_tokens_per_second)},
          {"inter_token_seconds", sample.inter_token_seconds}};
}

Json SpeedJson(const ProveReport& report) {
  Json json = {{"target_tokens_per_second", kTargetSpeed}, {"median_tokens_per_second", OrNull(report.median)}};
  json["slowest_window"] = Json();
  if (report.slowest) {
    json["slowest_window"] = {{"tokens_per_second", report.slowest->tokens_per_second},
                              {"seconds", report.slowest->seconds},
                              {"tokens", report.slowest->tokens}};
  }
  json["cases"] = Json::array();
  for (const ProveCase& one : report.benchmark) {
    Json samples = Json::array();
    for (const RunSample& sample : one.samples) samples.push_back(SampleJson(sample));
    json["cases"].push_back(
        {{"prompt_tokens", one.work.prompt_tokens}, {"output_tokens", one.work.output_tokens}, {"samples", samples}});
  }
  json["sustained"] = Json::array();
  for (const RunSample& sample : report.sustained) json["sustained"].push_back(SampleJson(sample));
  return json;
}

Json PerplexityJson(const ProveReport& report) {
  if (!report.perplexity) return {};
  Json json = {{"value", report.perplexity->value},
               {"standard_error", OrNull(report.perplexity->standard_error)},
               {"tokens", report.perplexity_tokens}};
  json["range"] = Json();
  if (report.known && report.known->perplexity) {
    const KnownModel::Range& range = *report.known->perplexity;
    json["range"] = {{"low", range.low}, {"high", range.high}, {"origin", range.origin}};
  }
  return json;
}

Json MemoryJson(const ProveReport& report) {
  Json rows = Json::array();
  for (const PlanRow& row : report.memory) {
    rows.push_back({{"place", PlaceName(row.place)}, {"component", row.component}, {"bytes", row.bytes}});
  }
  return {{"planned", rows},
          {"planned_vram_bytes", PlannedBytes(report.memory, Place::kVram)},
          {"planned_ram_bytes", PlannedBytes(report.memory, Place::kRam)},
          {"used_vram_bytes", report.used.vram},
          {"used_ram_bytes", report.used.ram},
          {"weight_bytes", report.weight_bytes},
          {"process_peak_bytes", report.peak_bytes}};
}

// A cell of a table: one line, without what would end the cell or begin markup.
std::string Cell(std::string_view text) {
  std::string cell;
  for (const char c : OneLine(text)) {
    if (c == '|' || c == '`' || c == '<') cell += '\\';
    cell += c;
  }
  return cell;
}

std::string SpeedText(const ProveReport& report) {
  if (report.benchmark.empty()) return "";
  std::string text =
      "\n## Speed\n\n| prompt | output | runs | tokens/s, median | min | max | first token, s "
      "|\n|---|---|---|---|---|---|---|\n";
  for (const ProveCase& one : report.benchmark) {
    const Spread decode = one.decode_tokens_per_second();
    text += fmt::format("| {} | {} | {} | {:.4g} | {:.4g} | {:.4g} | {:.3g} |\n", one.work.prompt_tokens,
                        one.work.output_tokens, one.samples.size(), decode.median, decode.min, decode.max,
                        one.first_token_seconds().median);
  }
  if (report.median) text += fmt::format("\nMedian of the slowest case: {:.4g} tokens/s.", *report.median);
  if (report.slowest) {
    text += fmt::format(" Slowest {:.3g} seconds of decoding: {} tokens, {:.4g} tokens/s.", report.slowest->seconds,
                        report.slowest->tokens, report.slowest->tokens_per_second);
  }
  return text + fmt::format(" Runs beyond the benchmark: {}.\n", report.sustained.size());
}

std::string AnswersText(const ProveReport& report) {
  if (report.answers.empty()) return "";
  std::string text = "\n## Answers\n\n| question | must hold | answer | |\n|---|---|---|---|\n";
  for (const ProveAnswer& one : report.answers) {
    text += fmt::format("| {} | {} | {} | {} |\n", Cell(one.question), Cell(one.expected), Cell(one.answer),
                        one.right ? "right" : "**wrong**");
  }
  return text;
}

std::string MemoryText(const ProveReport& report) {
  if (report.peak_bytes == 0) return "";
  std::string text = "\n## Memory\n\n";
  if (report.memory.empty()) {
    return text +
           fmt::format("On the CPU there is no plan but the weights: {} of weights; the process took {} at most.\n",
                       FormatBytes(report.weight_bytes), FormatBytes(report.peak_bytes));
  }
  return text + "```\n" + FormatMemoryTable(report.memory, report.used) + "```\n";
}

}  // namespace

Spread ProveCase::decode_tokens_per_second() const {
  std::vector<double> values;
  for (const RunSample& sample : samples) {
    if (sample.summary.decode_tokens_per_second) values.push_back(*sample.summary.decode_tokens_per_second);
  }
  return SpreadOf(values);
}

Spread ProveCase::first_token_seconds() const {
  std::vector<double> values;
  for (const RunSample& sample : samples) {
    if (sample.summary.first_token_seconds) values.push_back(*sample.summary.first_token_seconds);
  }
  return SpreadOf(values);
}

std::string_view StepStateName(StepState state) {
  switch (state) {
    case StepState::kNotRun:
      return "not run";
    case StepState::kRunning:
      return "running";
    case StepState::kOk:
      return "ok";
    case StepState::kFailed:
      return "FAILED";
    case StepState::kSkipped:
      return "skipped";
  }
  return "";
}

std::optional<SlowestWindow> FindSlowestWindow(std::span<const double> gaps, double window) {
  std::vector<double> times = {0};
  times.reserve(gaps.size() + 1);
  for (const double gap : gaps) times.push_back(times.back() + gap);
  const double all = times.back();
  if (gaps.empty() || all <= 0) return std::nullopt;
  if (all < window) {
    const auto tokens = static_cast<int64_t>(gaps.size());
    return SlowestWindow{.tokens_per_second = static_cast<double>(tokens) / all, .seconds = all, .tokens = tokens};
  }
  // The fewest are found in a window that begins right after a token.
  size_t fewest = gaps.size(), end = 0;
  for (size_t begin = 0; times[begin] + window <= all; ++begin) {
    while (end + 1 < times.size() && times[end + 1] <= times[begin] + window) ++end;
    fewest = std::min(fewest, end - begin);
  }
  return SlowestWindow{.tokens_per_second = static_cast<double>(fewest) / window,
                       .seconds = window,
                       .tokens = static_cast<int64_t>(fewest)};
}

ProveStep* ProveReport::Find(std::string_view name) {
  const auto found = std::find_if(steps.begin(), steps.end(), [&](const ProveStep& step) { return step.name == name; });
  return found == steps.end() ? nullptr : &*found;
}

Verdict Judge(const ProveReport& report) {
  Verdict verdict;
  for (const ProveStep& step : report.steps) {
    if (!step.decides) continue;
    if (step.state == StepState::kFailed) verdict.reasons.push_back(fmt::format("{}: {}", step.name, step.says));
    if (step.state == StepState::kRunning) verdict.reasons.push_back(fmt::format("{}: did not end", step.name));
  }
  for (const ProveStep& step : report.steps) {
    if (step.decides && step.state == StepState::kNotRun) verdict.reasons.push_back(step.name + ": not run");
  }
  if (report.median && *report.median < kTargetSpeed) {
    verdict.reasons.push_back(fmt::format("speed: the median of the slowest case is {:.4g} tokens/s, below {:g}",
                                          *report.median, kTargetSpeed));
  }
  if (report.slowest && report.slowest->seconds < kWindowSeconds) {
    verdict.reasons.push_back(
        fmt::format("speed: only {:.3g} seconds of decoding were measured, and the slowest {:g} "
                    "must be known",
                    report.slowest->seconds, kWindowSeconds));
  } else if (report.slowest && report.slowest->tokens_per_second < kTargetSpeed) {
    verdict.reasons.push_back(fmt::format("speed: the slowest {:g} seconds have {:.4g} tokens/s, below {:g}",
                                          kWindowSeconds, report.slowest->tokens_per_second, kTargetSpeed));
  }
  if (!report.median || !report.slowest) verdict.reasons.emplace_back("speed: not measured");
  verdict.pass = verdict.reasons.empty();
  return verdict;
}

std::string VerdictLine(const ProveReport& report) {
  const Verdict verdict = Judge(report);
  std::string line = verdict.pass ? "PASS" : "FAIL";
  std::string not_judged;
  for (const ProveStep& step : report.steps) {
    if (step.state == StepState::kSkipped && step.decides) {
      not_judged += fmt::format("{}{}", not_judged.empty() ? "" : ", ", step.name);
    }
  }
  std::vector<std::string> about;
  if (report.synthetic) {
    about.emplace_back("simulated weights: speed and memory only");
  }
  if (report.is_the_80b && !*report.is_the_80b) about.emplace_back("this model is not the 80B");
  if (!not_judged.empty()) about.push_back("not judged: " + not_judged);
  for (size_t i = 0; i < about.size(); ++i) line += (i == 0 ? " (" : "; ") + about[i];
  if (!about.empty()) line += ")";
  if (!verdict.pass) return line + ": " + verdict.reasons.front();
  return line + fmt::format(": median {:.4g} tokens/s, slowest {:g} seconds {:.4g} tokens/s; the target is {:g}",
                            *report.median, kWindowSeconds, report.slowest->tokens_per_second, kTargetSpeed);
}

std::string FormatProveJson(const ProveReport& report) {
  const Verdict verdict = Judge(report);
  Json json = {{"verdict", verdict.pass ? "PASS" : "FAIL"},
               {"summary", VerdictLine(report)},
               {"reasons", verdict.reasons},
               {"date", report.date},
               {"build", report.build},
               {"model", report.model},
               {"synthetic", report.synthetic},
               {"is_the_80b", OrNull(report.is_the_80b)},
               {"caveats", report.caveats}};
  json["steps"] = Json::array();
  for (const ProveStep& step : report.steps) {
    json["steps"].push_back({{"name", step.name},
                             {"decides", step.decides},
                             {"state", StepStateName(step.state)},
                             {"says", step.says},
                             {"seconds", step.seconds}});
  }
  json["speed"] = SpeedJson(report);
  json["answers"] = {{"set", report.known ? Json(report.known->name) : Json()},
                     {"needed", report.known ? Json(report.known->needed) : Json()}};
  json["answers"]["asked"] = Json::array();
  for (const ProveAnswer& one : report.answers) {
    json["answers"]["asked"].push_back(
        {{"question", one.question}, {"must_hold", one.expected}, {"answer", one.answer}, {"right", one.right}});
  }
  json["perplexity"] = PerplexityJson(report);
  json["memory"] = MemoryJson(report);
  for (const FactGroup& group : report.facts) {
    Json facts = Json::object();
    for (const Fact& fact : group.facts) facts[fact.name] = fact.value;
    json["facts"][group.title] = facts;
  }
  json["files"] = report.files;
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string FormatProveMarkdown(const ProveReport& report) {
  const Verdict verdict = Judge(report);
  std::string text =
      fmt::format("# qnext proof: {}\n\n**{}**\n\n", OneLine(report.model), OneLine(VerdictLine(report)));
  for (const std::string& reason : verdict.reasons) text += fmt::format("- {}\n", OneLine(reason));
  if (!verdict.reasons.empty()) text += "\n";
  for (const std::string& caveat : report.caveats) text += OneLine(caveat) + "\n";
  text += "\n## Steps\n\n| step | | seconds | |\n|---|---|---|---|\n";
  for (const ProveStep& step : report.steps) {
    text += fmt::format("| {} | {} | {:.1f} | {}{} |\n", step.name, StepStateName(step.state), step.seconds,
                        Cell(step.says), step.decides ? "" : " (does not decide)");
  }
  text += SpeedText(report) + AnswersText(report) + MemoryText(report);
  for (const FactGroup& group : report.facts) {
    text += fmt::format("\n## {}\n\n", group.title);
    for (const Fact& fact : group.facts) text += fmt::format("- {}: {}\n", fact.name, OneLine(fact.value));
  }
  text += fmt::format("\n{}, {}\n", report.build, report.date);
  return ReplaceInvalidUtf8(text);  // what files and models say need not be UTF-8
}

}  // namespace qnext
