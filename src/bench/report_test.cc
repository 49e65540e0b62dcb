#include "bench/report.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace qnext {
namespace {

RunSample Sample(double decode, double prefill, double first) {
  RunSample sample;
  sample.summary.prompt_tokens = 50;
  sample.summary.completion_tokens = 3;
  sample.summary.decode_tokens_per_second = decode;
  sample.summary.prefill_tokens_per_second = prefill;
  sample.summary.first_token_seconds = first;
  sample.summary.total_seconds = 1;
  sample.inter_token_seconds = {1 / decode, 1 / decode};
  return sample;
}

Report TwoCases() {
  Report report;
  report.date = "2030-01-02T03:04:05Z";
  report.facts = {{.title = "Machine", .facts = {{.name = "CPU", .value = "an abacus"}}}};
  report.workload = QuickWorkload(3);
  report.result.cases = {
      {.work = {.prompt_tokens = 50, .output_tokens = 3}, .samples = {Sample(8, 100, 0.5), Sample(10, 80, 0.6)}},
      {.work = {.prompt_tokens = 200, .output_tokens = 3}, .samples = {Sample(6, 100, 2), Sample(7, 90, 2.5)}}};
  report.subject = Subject::kThe80B;
  report.memory = {{.name = "process, peak", .bytes = int64_t{3} << 30}};
  return report;
}

TEST(ReportTest, TheVerdictIsOfTheSlowestCase) {
  Report report = TwoCases();
  EXPECT_DOUBLE_EQ(WorstDecodeSpeed(report), 6.5);
  EXPECT_NE(
      FormatReportMarkdown(report).find(
          "**The target is reached: 6.5 tokens per second where 5 are wanted (1.30 times), in the slowest case.**"),
      std::string::npos);
  report.target_tokens_per_second = 10;
  EXPECT_NE(FormatReportMarkdown(report).find("**The target is missed: 6.5 tokens per second where 10 are wanted"),
            std::string::npos);
}

TEST(ReportTest, OnlyThe80BReachesTheTarget) {
  Report report = TwoCases();
  report.subject = Subject::kAnother;
  const std::string another = FormatReportMarkdown(report);
  EXPECT_EQ(another.find("target is reached"), std::string::npos);
  EXPECT_NE(another.find("**6.5 tokens per second in the slowest case.** The target of 5 tokens per second is for the "
                         "80B, and this model is not it.\n\n2030"),
            std::string::npos)
      << another;
  EXPECT_TRUE(nlohmann::json::parse(FormatReportJson(report))["verdict"]["reached"].is_null());
  EXPECT_EQ(nlohmann::json::parse(FormatReportJson(report))["verdict"]["model"], "another");
  report.subject = Subject::kUnknown;
  const std::string unknown = FormatReportMarkdown(report);
  EXPECT_NE(unknown.find("**6.5 tokens per second in the slowest case; 5 are wanted of the 80B.**"), std::string::npos)
      << unknown;
  EXPECT_TRUE(nlohmann::json::parse(FormatReportJson(report))["verdict"]["reached"].is_null());
}

TEST(ReportTest, TokensInBurstsAreToldFromStalls) {
  LoadResult result;
  result.cases = {{.work = {.prompt_tokens = 50, .output_tokens = 9}, .samples = {RunSample{}}}};
  std::vector<double>& gaps = result.cases[0].samples[0].inter_token_seconds;
  EXPECT_EQ(BurstCaveat(result), "");
  gaps = {0.05, 0.05, 0.06, 0.05, 0.04, 0.05, 0.05, 0.05};
  EXPECT_EQ(BurstCaveat(result), "");
  gaps[3] = 0.8;  // one stall
  EXPECT_EQ(BurstCaveat(result), "");
  gaps = {0.0001, 0.0001, 0.2, 0.0001, 0.0001, 0.2, 0.0001, 0.0001};
  const std::string caveat = BurstCaveat(result);
  EXPECT_NE(caveat.find("half of them are below 0.1 ms where the mean is 50.1 ms (50 prompt tokens)"),
            std::string::npos)
      << caveat;
  EXPECT_EQ(caveat.find('\n'), std::string::npos);
}

TEST(ReportTest, MarkdownHasARowForEachCase) {
  const std::string text = FormatReportMarkdown(TwoCases());
  EXPECT_NE(text.find("| 50 | 3 | 2 | 9 (8…10) | 90 (80…100) | 550 (500…600) | 112 | 125 | 125 |"), std::string::npos)
      << text;
  EXPECT_NE(text.find("| 200 | 3 | 2 | 6.5 (6…7) |"), std::string::npos);
  EXPECT_NE(text.find("| process, peak | 3.00 GiB |"), std::string::npos);
  EXPECT_NE(text.find("## Machine\n\n| | |\n|---|---|\n| CPU | an abacus |"), std::string::npos);
  EXPECT_EQ(text.find("time limit"), std::string::npos);
}

TEST(ReportTest, NotesStandBelowTheVerdict) {
  Report report = TwoCases();
  report.notes = {"Made up.", "All of it."};
  const std::string text = FormatReportMarkdown(report);
  EXPECT_NE(text.find("T03:04:05Z\n\nMade up.\n\nAll of it.\n\n| prompt tokens"), std::string::npos) << text;
  EXPECT_EQ(nlohmann::json::parse(FormatReportJson(report))["notes"][1], "All of it.");
}

TEST(ReportTest, LargeNumbersAreWrittenOut) {
  Report report = TwoCases();
  report.result.cases[0].samples = {Sample(1353.4, 12345.6, 0.5)};
  EXPECT_NE(FormatReportMarkdown(report).find("| 1353 (1353…1353) | 12346 (12346…12346) |"), std::string::npos);
}

TEST(ReportTest, JsonKeepsTheRawSamples) {
  const nlohmann::json json = nlohmann::json::parse(FormatReportJson(TwoCases()));
  EXPECT_EQ(json["format"], "qnext-report");
  EXPECT_EQ(json["benchmark"], "quick");
  EXPECT_EQ(json["verdict"]["reached"], true);
  EXPECT_EQ(json["verdict"]["decode_tokens_per_second"], 6.5);
  EXPECT_EQ(json["cases"].size(), 2u);
  EXPECT_EQ(json["cases"][0]["decode_tokens_per_second"]["median"], 9.0);
  EXPECT_EQ(json["cases"][0]["samples"][1]["first_token_seconds"], 0.6);
  EXPECT_EQ(json["cases"][0]["samples"][0]["inter_token_seconds"].size(), 2u);
  EXPECT_EQ(json["memory_bytes"]["process, peak"], int64_t{3} << 30);
  EXPECT_EQ(json["facts"]["Machine"]["CPU"], "an abacus");
}

TEST(ReportTest, NothingMeasuredIsSaid) {
  Report report;
  report.workload = QuickWorkload(1);
  report.subject = Subject::kThe80B;
  EXPECT_NE(FormatReportMarkdown(report).find("No decode speed was measured"), std::string::npos);
  EXPECT_EQ(nlohmann::json::parse(FormatReportJson(report))["verdict"]["reached"], false);
}

TEST(ReportTest, AFactThatIsNoUtf8DoesNotLoseTheReport) {
  Report report = TwoCases();
  report.facts[0].facts[0].value = "bad \xff byte";
  EXPECT_TRUE(nlohmann::json::accept(FormatReportJson(report)));
}

}  // namespace
}  // namespace qnext
