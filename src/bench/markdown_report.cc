#include <fmt/core.h>

#include <vector>

#include "base/bytes.h"
#include "bench/report.h"
#include "bench/statistics.h"

namespace qnext {
namespace {

// Three significant digits (all of them before the point), as the spread of such figures deserves.
std::string Number(double value) { return value >= 1000 ? fmt::format("{:.0f}", value) : fmt::format("{:.3g}", value); }

std::string SpreadCell(const Spread& spread, double scale) {
  if (spread.samples == 0) return "–";
  return fmt::format("{} ({}…{})", Number(spread.median * scale), Number(spread.min * scale),
                     Number(spread.max * scale));
}

std::string Verdict(const Report& report) {
  const double worst = WorstDecodeSpeed(report);
  if (worst <= 0) return "**No decode speed was measured.**";
  const double target = report.target_tokens_per_second;
  switch (report.subject) {
    case Subject::kThe80B:
      return fmt::format("**{}: {} tokens per second where {} are wanted ({:.2f} times), in the slowest case.**",
                         worst >= target ? "The target is reached" : "The target is missed", Number(worst),
                         Number(target), worst / target);
    case Subject::kAnother:
      return fmt::format(
          "**{} tokens per second in the slowest case.** The target of {} tokens per second is for the 80B, and this "
          "model is not it.",
          Number(worst), Number(target));
    case Subject::kUnknown:
      break;
  }
  return fmt::format("**{} tokens per second in the slowest case; {} are wanted of the 80B.**", Number(worst),
                     Number(target));
}

std::string CaseRow(const CaseResult& result) {
  const CaseFigures figures = FiguresOf(result);
  return fmt::format("| {} | {} | {} | {} | {} | {} | {} | {} | {} |\n", result.work.prompt_tokens,
                     result.work.output_tokens, result.samples.size(), SpreadCell(figures.decode_tokens_per_second, 1),
                     SpreadCell(figures.prefill_tokens_per_second, 1), SpreadCell(figures.first_token_seconds, 1000),
                     Number(figures.inter_token_median_seconds * 1000), Number(figures.inter_token_p95_seconds * 1000),
                     Number(figures.inter_token_p99_seconds * 1000));
}

}  // namespace

double WorstDecodeSpeed(const Report& report) {
  double worst = 0;
  for (const CaseResult& result : report.result.cases) {
    const Spread speed = FiguresOf(result).decode_tokens_per_second;
    if (speed.samples > 0 && (worst == 0 || speed.median < worst)) worst = speed.median;
  }
  return worst;
}

std::string BurstCaveat(const LoadResult& result) {
  constexpr double kFarBelow = 0.25;  // of the mean; a stall of the server alone leaves the median where it was
  for (const CaseResult& one : result.cases) {
    std::vector<double> gaps;
    for (const RunSample& sample : one.samples) {
      gaps.insert(gaps.end(), sample.inter_token_seconds.begin(), sample.inter_token_seconds.end());
    }
    const Spread spread = SpreadOf(gaps);
    if (spread.samples == 0 || spread.median >= kFarBelow * spread.mean) continue;
    return fmt::format(
        "Token times look like scheduling of the client or the network: half of them are below {} ms where the mean is "
        "{} ms ({} prompt tokens), so several tokens arrive at once; only their mean says something about the server.",
        Number(spread.median * 1000), Number(spread.mean * 1000), one.work.prompt_tokens);
  }
  return "";
}

std::string FormatReportMarkdown(const Report& report) {
  std::string out =
      fmt::format("# qnext benchmark: {}\n\n{}\n\n{}\n\n", report.workload.name, Verdict(report), report.date);
  for (const std::string& note : report.notes) out += note + "\n\n";
  out +=
      "| prompt tokens | output tokens | runs | decode tokens/s | prefill tokens/s | first token, ms | token, ms: "
      "median | p95 | p99 |\n|---|---|---|---|---|---|---|---|---|\n";
  for (const CaseResult& result : report.result.cases) out += CaseRow(result);
  out += fmt::format(
      "\nMedian (minimum…maximum) of the runs, after {} warm-up run{}; token times over all runs "
      "together.{}\n",
      report.workload.warmups, report.workload.warmups == 1 ? "" : "s",
      report.result.cut_short ? " The time limit cut the repetitions short." : "");
  if (!report.memory.empty()) out += "\n## Memory\n\n| | |\n|---|---|\n";
  for (const MemoryFigure& figure : report.memory) {
    out += fmt::format("| {} | {} |\n", figure.name, FormatBytes(figure.bytes));
  }
  for (const FactGroup& group : report.facts) {
    out += fmt::format("\n## {}\n\n| | |\n|---|---|\n", group.title);
    for (const Fact& fact : group.facts) out += fmt::format("| {} | {} |\n", fact.name, fact.value);
  }
  return out;
}

}  // namespace qnext
