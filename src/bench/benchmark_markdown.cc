#include "bench/benchmark_markdown.h"

#include <fmt/core.h>

#include <cmath>

#include "base/bytes.h"
#include "bench/number_text.h"

namespace qnext {
namespace {

std::string SpreadCell(const Spread& spread, double scale) {
  if (spread.samples == 0) return "–";
  return fmt::format("{} ({}…{})", NumberText(spread.median * scale), NumberText(spread.min * scale),
                     NumberText(spread.max * scale));
}

std::string PercentilesCell(const Percentiles& percentiles) {
  return fmt::format("{} / {} / {}", NumberText(percentiles.p50 * 1000), NumberText(percentiles.p95 * 1000),
                     NumberText(percentiles.p99 * 1000));
}

constexpr char kCellHead[] =
    "| prompt tokens | output tokens | runs | decode tokens/s | prefill tokens/s | first token, ms | token, ms: p50 / "
    "p95 / p99 | slowest window, tokens/s |\n|---|---|---|---|---|---|---|---|\n";

std::string CellRow(const BenchmarkCell& cell) {
  const CellFigures figures = FiguresOf(cell.samples);
  return fmt::format("| {} | {} | {} | {} | {} | {} | {} | {} |\n", cell.work.prompt_tokens, cell.work.output_tokens,
                     cell.samples.size(), SpreadCell(figures.decode_tokens_per_second, 1),
                     SpreadCell(figures.prefill_tokens_per_second, 1), SpreadCell(figures.first_token_seconds, 1000),
                     PercentilesCell(figures.inter_token_seconds),
                     NumberText(figures.slowest_window_tokens_per_second));
}

std::string_view Heading(CellKind kind) {
  switch (kind) {
    case CellKind::kContext:
      return "## Full contexts\n\n";
    case CellKind::kMemory:
      return "## Sizes of prompts\n\n";
    default:
      return "## Prompts and outputs\n\n";
  }
}

std::string Cells(const BenchmarkReport& report) {
  std::string out;
  for (const CellKind kind : {CellKind::kGrid, CellKind::kContext, CellKind::kStress, CellKind::kMemory}) {
    std::string rows;
    for (const BenchmarkCell& cell : report.cells) {
      if (cell.kind == kind) rows += CellRow(cell);
    }
    if (!rows.empty()) out += fmt::format("{}{}{}{}", out.empty() ? "" : "\n", Heading(kind), kCellHead, rows);
  }
  const auto warm_ups = static_cast<int64_t>(report.warm_ups.size());
  out += fmt::format(
      "\nMedian (minimum…maximum) of the runs, after {} warm-up run{}; token times over all runs together. The slowest "
      "window is 10 s of decoding, or a whole run where none decodes that long.\n",
      warm_ups, warm_ups == 1 ? "" : "s");
  return out;
}

// The first run after loading beside the last of the warm-ups and the warm median of the same cell.
std::string ColdAndWarm(const BenchmarkReport& report) {
  if (report.warm_ups.empty() || report.warm_ups.front().phase != SamplePhase::kCold) return "";
  const TimelineSummary& cold = report.warm_ups.front().measured.summary;
  std::string out =
      fmt::format("\nThe first run after loading (cold: {} tokens of prompt, {} of output): ", cold.prompt_tokens,
                  cold.completion_tokens);
  out +=
      fmt::format("first token after {} ms, then {} tokens/s", NumberText(cold.first_token_seconds.value_or(0) * 1000),
                  NumberText(cold.decode_tokens_per_second.value_or(0)));
  for (const BenchmarkCell& cell : report.cells) {
    if (cell.work != WorkloadCase{cold.prompt_tokens, cold.completion_tokens}) continue;
    const CellFigures figures = FiguresOf(cell.samples);
    return out + fmt::format("; warm: {} ms, {} tokens/s.\n", NumberText(figures.first_token_seconds.median * 1000),
                             NumberText(figures.decode_tokens_per_second.median));
  }
  return out + ".\n";
}

// What is in memory after prompts of each size.
std::string MemoryBySize(const BenchmarkReport& report) {
  std::string rows;
  for (const BenchmarkCell& cell : report.cells) {
    std::vector<double> ram, vram;
    for (const BenchmarkSample& sample : cell.samples) {
      if (!sample.measured.memory) continue;
      ram.push_back(static_cast<double>(sample.measured.memory->ram_bytes));
      if (sample.measured.memory->vram_bytes) vram.push_back(static_cast<double>(*sample.measured.memory->vram_bytes));
    }
    if (cell.kind != CellKind::kMemory || ram.empty()) continue;
    const auto bytes = [](const std::vector<double>& values) {
      return values.empty() ? "–" : FormatBytes(std::llround(SpreadOf(values).median));
    };
    rows += fmt::format("| {} | {} | {} |\n", cell.work.prompt_tokens, bytes(ram), bytes(vram));
  }
  if (rows.empty()) return "";
  return "\n## Memory by size of prompt\n\n| prompt tokens | RAM of the process | VRAM of the card |\n|---|---|---|\n" +
         rows;
}

std::string LeftOutTable(const BenchmarkReport& report) {
  if (report.left_out.empty()) return "";
  std::string out =
      "\n## Left out\n\n| | prompt tokens | output tokens | runs | of | why |\n|---|---|---|---|---|---|\n";
  for (const LeftOut& left : report.left_out) {
    out += fmt::format("| {} | {} | {} | {} | {} | {} |\n", CellKindName(left.kind), left.work.prompt_tokens,
                       left.work.output_tokens, left.runs, left.wanted_runs, left.why);
  }
  return out;
}

std::string SignedBytes(int64_t bytes) { return (bytes < 0 ? "−" : "+") + FormatBytes(std::abs(bytes)); }

std::string DriftTable(const BenchmarkReport& report) {
  const std::optional<Drift> drift = DriftOf(report);
  if (!drift) return "";
  std::string out = fmt::format(
      "\n## Drift\n\nThe last quarter of {} requests against the first, over {} s; each against its own size's "
      "median.\n\n| | |\n|---|---|\n| decode speed | {:+.2f}% |\n| time to first token | {:+.2f}% |\n",
      drift->requests, NumberText(drift->seconds), drift->decode_change * 100, drift->first_token_change * 100);
  if (drift->decode_change_per_hour) {
    out += fmt::format("| decode speed, per hour | {:+.2f}% |\n", *drift->decode_change_per_hour * 100);
  }
  if (drift->ram_change_bytes) out += fmt::format("| RAM | {} |\n", SignedBytes(*drift->ram_change_bytes));
  if (drift->ram_bytes_per_hour) {
    out += fmt::format("| RAM, per hour | {} |\n", SignedBytes(std::llround(*drift->ram_bytes_per_hour)));
  }
  if (drift->vram_change_bytes) out += fmt::format("| VRAM | {} |\n", SignedBytes(*drift->vram_change_bytes));
  return out;
}

std::string BytesCell(const std::optional<int64_t>& bytes) { return bytes ? FormatBytes(*bytes) : "–"; }

std::string MemoryTable(const BenchmarkReport& report) {
  if (report.memory.empty()) return "";
  std::string out = "\n## Memory\n\n| | | planned | measured |\n|---|---|---|---|\n";
  for (const MemoryComponent& row : report.memory) {
    out += fmt::format("| {} | {} | {} | {} |\n", row.place, row.name, BytesCell(row.planned_bytes),
                       BytesCell(row.measured_bytes));
  }
  if (report.budgets.vram_bytes) out += fmt::format("\nVRAM budget: {}.\n", FormatBytes(*report.budgets.vram_bytes));
  if (report.budgets.ram_bytes) out += fmt::format("\nRAM budget: {}.\n", FormatBytes(*report.budgets.ram_bytes));
  return out;
}

std::string SweepTable(const Sweep& sweep) {
  if (sweep.points.empty()) return "";
  std::string head = "|", rule = "|";
  for (const auto& [name, value] : sweep.points.front().options) {
    head += fmt::format(" {} |", name);
    rule += "---|";
  }
  std::string out = fmt::format(
      "\n## What other budgets would give on a GPU (predicted, not measured)\n\nBounds from the rates of {}; nothing "
      "can be "
      "faster. The fastest with each --vram is in bold.\n\n{} VRAM | RAM | experts cached | decode tokens/s, recency | "
      "uniform | prefill tokens/s |\n{}---|---|---|---|---|---|\n",
      sweep.rates, head, rule);
  for (const ConfigurationPoint& point : sweep.points) {
    std::string row = "|";
    for (const auto& [name, value] : point.options) row += fmt::format(" {} |", value);
    if (point.fits) {
      const std::string speed = NumberText(point.decode_tokens_per_second);
      row += fmt::format(" {} | {} | {} of {} | {} | {} | {} |", FormatBytes(point.vram_bytes),
                         FormatBytes(point.ram_bytes), point.cached_experts, point.experts,
                         point.fastest ? "**" + speed + "**" : speed, NumberText(point.uniform_tokens_per_second),
                         NumberText(point.prefill_tokens_per_second.value_or(0)));
    } else {
      row += " does not fit | | | | | |";
    }
    out += row + "\n";
  }
  return out;
}

}  // namespace

std::string VerdictSentence(const BenchmarkReport& report) {
  const BenchmarkVerdict verdict = VerdictOf(report);
  const double median = verdict.median_tokens_per_second;
  if (median <= 0) return "**No decode speed was measured.**";
  const double target = report.target_tokens_per_second;
  const std::string window = fmt::format("{} in the slowest {} s", NumberText(verdict.slowest_window_tokens_per_second),
                                         NumberText(verdict.slowest_window_seconds));
  switch (report.subject) {
    case Subject::kThe80B:
      return fmt::format(
          "**{}: {} tokens per second where {} are wanted ({:.2f} times), the median of the slowest case; {}.**",
          *verdict.reached ? "The target is reached" : "The target is missed", NumberText(median), NumberText(target),
          median / target, window);
    case Subject::kAnother:
      return fmt::format(
          "**{} tokens per second in the slowest case; {}.** The target of {} tokens per second is for the 80B, and "
          "this "
          "model is not it.",
          NumberText(median), window, NumberText(target));
    case Subject::kUnknown:
      break;
  }
  return fmt::format("**{} tokens per second in the slowest case; {}; {} are wanted of the 80B.**", NumberText(median),
                     window, NumberText(target));
}

std::string FormatBenchmarkMarkdown(const BenchmarkReport& report) {
  std::string out =
      fmt::format("# qnext benchmark: {}\n\n{}\n\n{}\n\n", report.benchmark, VerdictSentence(report), report.date);
  for (const std::string& caveat : report.caveats) out += caveat + "\n\n";
  out += Cells(report) + ColdAndWarm(report) + LeftOutTable(report) + DriftTable(report) + MemoryTable(report) +
         MemoryBySize(report) + SweepTable(report.sweep);
  for (const FactGroup& group : report.facts) {
    out += fmt::format("\n## {}\n\n| | |\n|---|---|\n", group.title);
    for (const Fact& fact : group.facts) out += fmt::format("| {} | {} |\n", fact.name, fact.value);
  }
  return out;
}

}  // namespace qnext
