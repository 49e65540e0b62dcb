// qnext bench standard, stress and memory, on the bundled tiny checkpoint and over HTTP.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <future>
#include <nlohmann/json.hpp>
#include <set>

#include "base/file.h"
#include "bench/benchmark_json.h"
#include "bench/fake_http_server.h"
#include "cli/program.h"
#include "cli/testing.h"
#include "engine/testing.h"

namespace qnext {
namespace {

class BenchKindsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "qnext_bench_kinds_test";
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  // On the tiny model's CPU path, into folder_/report.
  Outcome Bench(const std::string& kind, std::vector<std::string> more) const {
    std::vector<std::string> arguments = {"bench", kind, "--model", TinyFolder(), "--device", "cpu", "--out", out()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    // An engine leaves its thread pinned, and to the next command of that thread the machine would look smaller.
    return std::async(std::launch::async, [&] { return RunQnext(arguments); }).get();
  }
  std::string out() const { return folder_ + "/report"; }
  BenchmarkReport Read() const {
    const std::string path = out() + "/report.json";
    return ParseBenchmarkJson(ReadFileToString(path).value(), path).value();
  }
  int64_t LoggedSamples() const {
    const std::string text = ReadFileToString(out() + "/samples.jsonl").value();
    return std::count(text.begin(), text.end(), '\n') - 1;
  }

  std::string folder_;
};

// A context of 160 tokens has room for the smallest cell alone.
TEST_F(BenchKindsTest, StandardIsTakenUpAndOtherSettingsAreRefused) {
  const Outcome first = Bench("standard", {"--ctx", "160", "--repetitions", "2"});
  ASSERT_EQ(first.exit_code, kExitDone) << first.error;
  EXPECT_NE(first.error.find("qnext: step 1 of 12: cold: 50 tokens of prompt, 100 of output\n"), std::string::npos)
      << first.error;
  BenchmarkReport report = Read();
  EXPECT_EQ(report.benchmark, "standard");
  EXPECT_EQ(report.subject, Subject::kAnother);
  ASSERT_EQ(report.cells.size(), 1u);
  EXPECT_EQ(report.cells[0].samples.size(), 2u);
  EXPECT_EQ(report.warm_ups.size(), 10u);
  EXPECT_EQ(report.warm_ups[0].phase, SamplePhase::kCold);
  EXPECT_EQ(report.warm_ups[1].phase, SamplePhase::kWarmUp);
  EXPECT_EQ(report.left_out.size(), 19u);
  EXPECT_EQ(report.left_out[0].why, "needs a context of 300 tokens, and there are 160");
  EXPECT_GT(report.cells[0].samples[0].measured.memory->ram_bytes, 10 << 20);
  EXPECT_GT(*report.memory.at(0).planned_bytes, 10 << 20);
  EXPECT_GT(*report.memory.at(1).measured_bytes, *report.memory[0].planned_bytes);
  EXPECT_EQ(LoggedSamples(), 12);

  // More runs of the same: the samples stay.
  const Outcome second = Bench("standard", {"--ctx", "160", "--repetitions", "3"});
  ASSERT_EQ(second.exit_code, kExitDone) << second.error;
  EXPECT_NE(second.error.find("qnext: goes on after 12 samples of before\n"), std::string::npos) << second.error;
  report = Read();
  EXPECT_EQ(report.cells.at(0).samples.size(), 3u);
  EXPECT_EQ(report.cells[0].samples[2].session, 1);
  EXPECT_NE(second.out.find("Measured in 2 sessions"), std::string::npos);
  EXPECT_EQ(LoggedSamples(), 12 + 11);

  const Outcome other = Bench("standard", {"--ctx", "170"});
  EXPECT_EQ(other.exit_code, kExitFailed);
  EXPECT_NE(other.error.find("samples.jsonl was begun with other settings: options: context was 160 and is 170; use "),
            std::string::npos)
      << other.error;
  EXPECT_EQ(LoggedSamples(), 12 + 11);
}

TEST_F(BenchKindsTest, StressTellsTheDrift) {
  const Outcome outcome = Bench("stress", {"--repetitions", "2"});
  ASSERT_EQ(outcome.exit_code, kExitDone) << outcome.error;
  const BenchmarkReport report = Read();
  EXPECT_EQ(report.cells.size(), 4u);
  const Drift drift = DriftOf(report).value();
  EXPECT_EQ(drift.requests, 8);
  EXPECT_TRUE(drift.ram_change_bytes.has_value());
  EXPECT_NE(outcome.out.find("\n## Drift\n"), std::string::npos);
}

TEST_F(BenchKindsTest, StressEndsWithItsTime) {
  // On a slow machine the first run, which does not count, may take all of a short time.
  for (const double limit : {0.4, 2.0, 10.0, 50.0}) {
    std::filesystem::remove_all(out());
    const Outcome outcome = Bench("stress", {"--time-limit", std::to_string(limit)});
    ASSERT_EQ(outcome.exit_code, kExitDone) << outcome.error;
    EXPECT_GE(Read().seconds, limit);
    if (!Read().cells.empty()) return;
  }
  FAIL() << "no run has been counted";
}

TEST_F(BenchKindsTest, MemoryMeasuresSizesAndPredictsBudgets) {
  const Outcome outcome =
      Bench("memory", {"--ctx", "700", "--repetitions", "1", "--ram", "8GiB", "--machine", "reference"});
  ASSERT_EQ(outcome.exit_code, kExitDone) << outcome.error;
  const BenchmarkReport report = Read();
  EXPECT_EQ(report.cells.size(), 3u);
  EXPECT_EQ(report.cells[2].work.prompt_tokens, 500);
  EXPECT_EQ(report.budgets.ram_bytes, int64_t{8} << 30);
  EXPECT_EQ(report.sweep.rates, "reference");
  ASSERT_EQ(report.sweep.points.size(), 7u * 2 * 2);
  int64_t fastest = 0;
  for (const ConfigurationPoint& point : report.sweep.points) {
    EXPECT_TRUE(point.fits) << point.why_not;
    EXPECT_GT(point.decode_tokens_per_second, 0);
    EXPECT_EQ(point.options.at(1).second, "8GiB");
    EXPECT_EQ(point.options.at(2).second, "700");
    fastest += point.fastest ? 1 : 0;
  }
  EXPECT_EQ(fastest, 7);
  EXPECT_NE(outcome.out.find("(predicted, not measured)"), std::string::npos);
}

// Counts words, answers ten tokens at a time, and breaks once, within the `breaks_at`-th stream.
FakeHttpServer::Handler ServerThatBreaks(int breaks_at) {
  return [breaks_at, streams = 0](const FakeRequest& request, const FakeConnection& connection) mutable {
    using Json = nlohmann::json;
    if (request.body.empty()) {
      return connection.SendReply("200 OK", R"({"data": [{"id": "paper", "max_model_len": 400}]})");
    }
    const Json body = Json::parse(request.body);
    const std::string prompt = body["prompt"];
    const Json usage = {{"prompt_tokens", std::count(prompt.begin(), prompt.end(), ' ') + 1},
                        {"completion_tokens", body["max_tokens"]}};
    if (!body.contains("stream")) return connection.SendReply("200 OK", Json({{"usage", usage}}).dump());
    connection.SendStreamHead();
    const bool breaks = ++streams == breaks_at;
    for (int i = 0; i < 10; ++i) {
      if (breaks && i == 3) return;
      FakeConnection::Wait(1);
      connection.SendChunk("data: " + Json({{"choices", {{{"text", "ten tokens"}}}}}).dump() + "\n\n");
    }
    connection.SendChunk("data: " + Json({{"choices", Json::array()}, {"usage", usage}}).dump() +
                         "\n\ndata: [DONE]\n\n");
    connection.SendEnd();
  };
}

TEST_F(BenchKindsTest, AServerThatBreaksLosesNothing) {
  FakeHttpServer server(ServerThatBreaks(14));  // after 10 warm-ups and 3 runs
  const std::vector<std::string> arguments = {"bench",         "standard", "--url", server.url(),
                                              "--repetitions", "2",        "--out", out()};
  const Outcome broken = RunQnext(arguments);
  EXPECT_EQ(broken.exit_code, kExitFailed);
  EXPECT_NE(broken.error.find("after 3 pieces of text, 100 tokens wanted; 13 samples are kept, and the same options "
                              "with --out " +
                              out() + " go on from there\n"),
            std::string::npos)
      << broken.error;
  EXPECT_FALSE(FileExists(out() + "/report.json"));
  const Outcome again = RunQnext(arguments);
  ASSERT_EQ(again.exit_code, kExitDone) << again.error;
  const BenchmarkReport report = Read();
  EXPECT_TRUE(report.over_http);
  ASSERT_EQ(report.cells.size(), 2u);  // of 150 and 300 tokens, where the server says 400
  for (const BenchmarkCell& cell : report.cells) EXPECT_EQ(cell.samples.size(), 2u);
  EXPECT_EQ(report.cells[0].samples[0].session, 0);
  EXPECT_EQ(report.warm_ups.size(), 20u);
  EXPECT_EQ(report.warm_ups[0].phase, SamplePhase::kWarmUp);
  // No prompt came twice.
  std::set<std::string> prompts;
  size_t streams = 0;
  for (const FakeRequest& request : server.requests()) {
    if (request.body.find("\"stream\"") == std::string::npos) continue;
    ++streams;
    prompts.insert(nlohmann::json::parse(request.body)["prompt"].get<std::string>());
  }
  EXPECT_EQ(prompts.size(), streams);
}

}  // namespace
}  // namespace qnext
