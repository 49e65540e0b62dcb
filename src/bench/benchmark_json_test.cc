#include "bench/benchmark_json.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "bench/sample_report.h"

namespace qnext {
namespace {

using Json = nlohmann::ordered_json;

Json Written() { return Json::parse(FormatBenchmarkJson(SampleReport())); }

// Every value in a report: as many leaves in the JSON as were set, each found again.
TEST(BenchmarkJsonTest, WhatIsWrittenIsReadBack) {
  const std::string text = FormatBenchmarkJson(SampleReport());
  const Result<BenchmarkReport> read = ParseBenchmarkJson(text, "report.json");
  ASSERT_TRUE(read.ok()) << read.status().message();
  EXPECT_EQ(FormatBenchmarkJson(*read), text);
  // The text could lack what both ways forget: some of each struct is looked at.
  EXPECT_EQ(read->benchmark, "standard");
  EXPECT_EQ(read->subject, Subject::kThe80B);
  EXPECT_EQ(read->caveats.at(1), "All \"of\" it: <b>&\xc3\xa4</b>");
  EXPECT_EQ(read->warm_ups.at(0).phase, SamplePhase::kCold);
  const BenchmarkSample& sample = read->cells.at(0).samples.at(1);
  EXPECT_EQ(sample.run, 3);
  EXPECT_EQ(sample.session, 1);
  EXPECT_EQ(sample.start_seconds, 2.5);
  EXPECT_EQ(sample.measured.inter_token_seconds, (std::vector<double>{0.1, 0.1}));
  EXPECT_EQ(sample.measured.summary.first_token_seconds, 0.6);
  EXPECT_EQ(sample.measured.places->wait_seconds, 0.001);
  EXPECT_EQ(sample.measured.memory->vram_bytes, 3 << 20);
  EXPECT_FALSE(read->cells.at(0).samples.at(0).measured.places.has_value());
  EXPECT_EQ(read->cells.at(1).kind, CellKind::kContext);
  EXPECT_EQ(read->left_out.at(0).why, "would take about 40 s, 12 s were left");
  EXPECT_EQ(read->budgets.vram_bytes, int64_t{15} << 30);
  EXPECT_FALSE(read->budgets.ram_bytes.has_value());
  EXPECT_FALSE(read->memory.at(0).measured_bytes.has_value());
  EXPECT_EQ(read->sweep.points.at(0).options.at(1).second, "int8");
  EXPECT_EQ(read->sweep.points.at(1).why_not, "1 byte is missing");
  EXPECT_EQ(read->facts.at(0).facts.at(0).value, "an abacus");
  EXPECT_EQ(read->facts.at(1).title, "build");
}

TEST(BenchmarkJsonTest, AnEmptyReportToo) {
  const std::string text = FormatBenchmarkJson(BenchmarkReport());
  const Result<BenchmarkReport> read = ParseBenchmarkJson(text, "report.json");
  ASSERT_TRUE(read.ok()) << read.status().message();
  EXPECT_EQ(FormatBenchmarkJson(*read), text);
}

TEST(BenchmarkJsonTest, HasTheFiguresThatFollow) {
  const Json json = Written();
  EXPECT_EQ(json["format"], "qnext-report");
  EXPECT_EQ(json["format_version"], 2);
  EXPECT_EQ(json["verdict"]["median_tokens_per_second"], 6.25);
  EXPECT_EQ(json["verdict"]["reached"], true);
  EXPECT_EQ(json["cells"][0]["figures"]["decode_tokens_per_second"]["median"], 9.0);
  EXPECT_EQ(json["cells"][0]["figures"]["decode_tokens_per_second"]["max"], 10.0);
  EXPECT_EQ(json["cells"][0]["figures"]["places"]["hits"], 700);
  EXPECT_TRUE(json["drift"].is_null());
  EXPECT_EQ(json["facts"]["machine"]["CPU"], "an abacus");
}

std::string ErrorOf(const Json& json) {
  const Result<BenchmarkReport> read = ParseBenchmarkJson(json.dump(), "r.json");
  return read.ok() ? "read" : read.status().message();
}

TEST(BenchmarkJsonTest, SaysWhichFieldIsWrong) {
  Json json = Written();
  json["cells"][0]["samples"][1]["run"] = "three";
  EXPECT_EQ(ErrorOf(json), "r.json: cells[0].samples[1].run: must be a whole number");
  json = Written();
  json["cells"][1]["kind"] = "cube";
  EXPECT_EQ(ErrorOf(json), "r.json: cells[1].kind: must be one of grid, context, stress, memory");
  json = Written();
  json["sweep"]["points"][0].erase("fits");
  EXPECT_EQ(ErrorOf(json), "r.json: sweep.points[0].fits: is missing");
  json = Written();
  json["caveats"] = "none";
  EXPECT_EQ(ErrorOf(json), "r.json: caveats: must be an array");
  json = Written();
  json["cells"][0]["samples"][0]["inter_token_seconds"][1] = nullptr;
  EXPECT_EQ(ErrorOf(json), "r.json: cells[0].samples[0].inter_token_seconds[1]: must be a number");
  json = Written();
  json["facts"]["machine"] = 3;
  EXPECT_EQ(ErrorOf(json), "r.json: facts.machine: must be an object");
  json = Written();
  json["memory"][0] = 1;
  EXPECT_EQ(ErrorOf(json), "r.json: memory[0]: must be an object");
}

TEST(BenchmarkJsonTest, AnotherFormatIsRefused) {
  Json json = Written();
  json["format_version"] = 1;
  EXPECT_EQ(ErrorOf(json), "r.json: has format_version 1, and this program reads 2; run the benchmark again");
  json["format"] = "qnext-machine";
  EXPECT_EQ(ErrorOf(json), "r.json: is no report of qnext bench (\"format\" is not \"qnext-report\")");
  EXPECT_EQ(ErrorOf(Json::array()), "r.json: is no report of qnext bench (\"format\" is not \"qnext-report\")");
  EXPECT_EQ(ParseBenchmarkJson("{", "r.json").status().message(), "r.json: is not JSON");
}

TEST(BenchmarkJsonTest, AFieldOfALaterVersionIsPassedOver) {
  Json json = Written();
  json["cells"][0]["colour"] = "blue";
  EXPECT_EQ(ErrorOf(json), "read");
}

TEST(BenchmarkJsonTest, AFactThatIsNoUtf8DoesNotLoseTheReport) {
  BenchmarkReport report = SampleReport();
  report.facts[0].facts[0].value = "bad \xff byte";
  EXPECT_TRUE(ParseBenchmarkJson(FormatBenchmarkJson(report), "r.json").ok());
}

TEST(SampleLineTest, IsOneLineAndComesBack) {
  const LoggedSample sample = {CellKind::kContext, {51, 4}, SampleReport().cells[0].samples[1]};
  const std::string line = FormatSampleLine(sample);
  EXPECT_EQ(line.find('\n'), std::string::npos);
  const Result<LoggedSample> read = ParseSampleLine(line, "samples.jsonl: line 2");
  ASSERT_TRUE(read.ok()) << read.status().message();
  EXPECT_EQ(FormatSampleLine(*read), line);
  EXPECT_EQ(read->kind, CellKind::kContext);
  EXPECT_EQ(read->work, (WorkloadCase{51, 4}));
  EXPECT_EQ(read->sample.measured.summary.prompt_tokens, 50);
  EXPECT_EQ(ParseSampleLine(line.substr(0, 40), "samples.jsonl: line 2").status().message(),
            "samples.jsonl: line 2: is not JSON");
}

}  // namespace
}  // namespace qnext
