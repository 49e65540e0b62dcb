#include "bench/benchmark_markdown.h"

#include <gtest/gtest.h>

#include "bench/sample_report.h"

namespace qnext {
namespace {

void ExpectHas(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << part << "\nis not in\n" << text;
}

TEST(BenchmarkMarkdownTest, TheVerdictIsOfTheSlowestCase) {
  BenchmarkReport report = SampleReport();
  ExpectHas(FormatBenchmarkMarkdown(report),
            "# qnext benchmark: standard\n\n**The target is reached: 6.25 tokens per second where 5 are wanted (1.25 "
            "times), the median of the slowest case; 6.25 in the slowest 10 s.**\n\n2030");
  report.target_tokens_per_second = 10;
  ExpectHas(FormatBenchmarkMarkdown(report), "**The target is missed: 6.25 tokens per second where 10 are wanted");
  report.cells[1].samples[0].measured.inter_token_seconds[50] = 6;
  report.target_tokens_per_second = 5;
  ExpectHas(FormatBenchmarkMarkdown(report), "**The target is missed: 6.25 tokens per second where 5 are wanted");
}

TEST(BenchmarkMarkdownTest, OnlyThe80BReachesTheTarget) {
  BenchmarkReport report = SampleReport();
  report.subject = Subject::kAnother;
  const std::string another = FormatBenchmarkMarkdown(report);
  EXPECT_EQ(another.find("target is reached"), std::string::npos);
  ExpectHas(another, "The target of 5 tokens per second is for the 80B, and this model is not it.\n\n2030");
  report.subject = Subject::kUnknown;
  ExpectHas(FormatBenchmarkMarkdown(report), "in the slowest 10 s; 5 are wanted of the 80B.**");
}

TEST(BenchmarkMarkdownTest, HasARowForEachCell) {
  const std::string text = FormatBenchmarkMarkdown(SampleReport());
  ExpectHas(text, "Made up.\n\nAll \"of\" it: <b>&\xc3\xa4</b>\n\n## Prompts");
  ExpectHas(text, "## Prompts and outputs\n\n| prompt tokens | output tokens | runs |");
  ExpectHas(text, "| 50 | 3 | 2 | 9 (8…10) | 91.7 (83.3…100) | 550 (500…600) | 112 / 125 / 125 | 8 |\n");
  ExpectHas(text, "## Full contexts\n\n");
  ExpectHas(text, "| 1948 | 100 | 1 | 6.25 (6.25…6.25) |");
  ExpectHas(text,
            "(cold: 50 tokens of prompt, 3 of output): first token after 900 ms, then 4 tokens/s; warm: 550 ms, 9");
  ExpectHas(text, "| context | 262044 | 100 | 0 | 3 | would take about 40 s, 12 s were left |");
  ExpectHas(text, "| RAM | routed experts | 39.0 GiB | – |\n| VRAM | total | 14.0 GiB | 14.0 GiB |");
  ExpectHas(text, "on a GPU (predicted, not measured)");
  ExpectHas(text, "| 8GiB | int8 | 7.81 KiB | 8.79 KiB | 100 of 24576 | **88.2** | 44.5 | 1234 |");
  ExpectHas(text, "## machine\n\n| | |\n|---|---|\n| CPU | an abacus |");
  EXPECT_EQ(text.find("## Drift"), std::string::npos);
}

TEST(BenchmarkMarkdownTest, AStressBenchmarkHasItsDrift) {
  BenchmarkReport report;
  report.benchmark = "stress";
  report.cells = {{.kind = CellKind::kStress, .work = {50, 11}, .samples = {}}};
  for (int64_t i = 0; i < 8; ++i) {
    report.cells[0].samples.push_back(EvenSample(i, 50, 11, 1, 0.1, 3600.0 * static_cast<double>(i)));
    report.cells[0].samples.back().measured.memory = MemoryReading{.ram_bytes = (9 - i) << 20};
  }
  const std::string text = FormatBenchmarkMarkdown(report);
  ExpectHas(text, "| decode speed | +0.00% |");
  ExpectHas(text, "| RAM | −6.00 MiB |\n| RAM, per hour | −1.00 MiB |");
}

TEST(BenchmarkMarkdownTest, MemoryBySizeOfPrompt) {
  BenchmarkReport report;
  report.cells = {{.kind = CellKind::kMemory, .work = {50, 3}, .samples = {EvenSample(0, 50, 3, 1, 1)}}};
  EXPECT_EQ(FormatBenchmarkMarkdown(report).find("## Memory by size"), std::string::npos);
  report.cells[0].samples[0].measured.memory = MemoryReading{.ram_bytes = 3 << 20};
  ExpectHas(FormatBenchmarkMarkdown(report), "| VRAM of the card |\n|---|---|---|\n| 50 | 3.00 MiB | – |\n");
}

TEST(BenchmarkMarkdownTest, NothingMeasuredIsSaid) {
  BenchmarkReport report;
  report.subject = Subject::kThe80B;
  ExpectHas(FormatBenchmarkMarkdown(report), "No decode speed was measured");
}

TEST(NumberTextTest, LargeNumbersAreWrittenOut) {
  BenchmarkReport report;
  report.cells = {{.work = {50, 3}, .samples = {EvenSample(0, 12346, 3, 1, 1 / 1353.4)}}};
  ExpectHas(FormatBenchmarkMarkdown(report), "| 1353 (1353…1353) | 12346 (12346…12346) |");
}

}  // namespace
}  // namespace qnext
