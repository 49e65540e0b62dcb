// qnext bench machine and qnext bench quick --url.
#include "cli/bench_runs.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "bench/fake_http_server.h"
#include "cli/machine_probe.h"
#include "cli/testing.h"

namespace qnext {
namespace {

using Json = nlohmann::json;

class BenchRunsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "qnext_bench_runs_test";
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  Json ReadJson(const std::string& name) const { return Json::parse(ReadFileToString(folder_ + "/" + name).value()); }

  std::string folder_;
};

TEST(ThreadCountsTest, PowersOfTwoAndWhatIsUsed) {
  EXPECT_EQ(ThreadCounts(1, 1), (std::vector<int>{1}));
  EXPECT_EQ(ThreadCounts(2, 1), (std::vector<int>{1, 2}));
  EXPECT_EQ(ThreadCounts(16, 15), (std::vector<int>{1, 2, 4, 8, 15, 16}));
  EXPECT_EQ(ThreadCounts(24, 7), (std::vector<int>{1, 2, 4, 7, 8, 16, 24}));
}

TEST(BusyTicksTest, AllButIdleAndWaiting) {
  EXPECT_EQ(BusyTicks("cpu  100 20 30 4000 500 6 7 8 0 0\ncpu0 1 2 3 4"), 171);
  for (const char* none : {"", "cpu", "intr 1 2 3 4 5 6 7 8"}) EXPECT_EQ(BusyTicks(none), 0) << none;
}

TEST(ParseIdRangeTest, TwoIdsInOrder) {
  EXPECT_EQ(ParseIdRange("1000-5000").value(), std::pair(1000, 5000));
  for (const char* wrong : {"", "5", "5-", "-5", "5-5", "7-3", "1-2-3", "a-b", "1 - 2", "-3-4", "1-99999999999"}) {
    EXPECT_FALSE(ParseIdRange(wrong).ok()) << wrong;
  }
}

TEST_F(BenchRunsTest, TheMachineIsMeasuredAndWritten) {
  int64_t steps = 0;
  const Result<MachineReport> report =
      MeasureMachine({.repeats = 2,
                      .memory_bytes = 8 << 20,
                      .disk_path = "",
                      .device = "cpu",
                      .progress = [&](int64_t step, int64_t, const std::string&) { EXPECT_EQ(step, ++steps); }});
  ASSERT_TRUE(report.ok()) << report.status().message();
  EXPECT_EQ(steps, 5);
  EXPECT_GT(report->cores, 0);
  EXPECT_GE(report->cores, report->fast_cores);
  EXPECT_GT(report->memory_bytes, int64_t{100} << 20);
  EXPECT_EQ(report->memory_probe_bytes, 8 << 20);
  const size_t counts = report->read.size();
  EXPECT_EQ(report->read.back().threads, report->cores);
  EXPECT_EQ(report->write.size(), counts);
  EXPECT_EQ(report->copy.size(), counts);
  EXPECT_EQ(report->loops.size(), counts);
  for (const ThreadRate& rate : report->read) {
    EXPECT_EQ(rate.bytes_per_second.samples, 2);
    EXPECT_GT(rate.bytes_per_second.min, 1e7);
  }
  ASSERT_FALSE(report->int4_products.empty());
  for (const ProductRate& rate : report->int4_products) EXPECT_GT(rate.share_of_read, 0.001);
  EXPECT_FALSE(report->disk.has_value());
  EXPECT_GE(report->busy_elsewhere, 0);
}

TEST_F(BenchRunsTest, MachineReportOnDisk) {
  const Outcome outcome =
      RunQnext({"bench", "machine", "--repetitions", "1", "--device", "cpu", "--out", folder_ + "/m"});
  ASSERT_EQ(outcome.exit_code, kExitDone) << outcome.error;
  EXPECT_NE(outcome.error.find("qnext: step 5 of 5: parallel loops"), std::string::npos);
  EXPECT_EQ(outcome.out.rfind("# qnext machine report\n", 0), 0u);
  EXPECT_EQ(ReadJson("m/machine.json")["format"], "qnext-machine");
  EXPECT_EQ(ReadJson("m/machine.json")["no_gpu"], "--device cpu");
  EXPECT_NE(outcome.out.find("\nNo GPU was measured: --device cpu.\n"), std::string::npos);
  EXPECT_TRUE(FileExists(folder_ + "/m/machine.md"));
}

TEST_F(BenchRunsTest, AWrongPathIsFoundFirst) {
  const Outcome outcome = RunQnext({"bench", "machine", "--out", folder_ + "/x.json", "--path", "/no/such"});
  EXPECT_EQ(outcome.exit_code, kExitFailed);
  EXPECT_NE(outcome.error.find("qnext: error: /no/such: cannot be opened: "), std::string::npos) << outcome.error;
  EXPECT_FALSE(FileExists(folder_ + "/x.json"));
}

// Counts words, and answers ten tokens at a time.
void AnswerLikeAServer(const FakeRequest& request, const FakeConnection& connection) {
  if (request.body.empty()) return connection.SendReply("200 OK", R"({"data": [{"id": "paper"}]})");
  const Json body = Json::parse(request.body);
  const std::string prompt = body["prompt"];
  const Json usage = {{"prompt_tokens", std::count(prompt.begin(), prompt.end(), ' ') + 1},
                      {"completion_tokens", body["max_tokens"]}};
  if (!body.contains("stream")) return connection.SendReply("200 OK", Json({{"usage", usage}}).dump());
  connection.SendStreamHead();
  const bool in_bursts = request.head.find("Bearer bursts") != std::string::npos;
  for (int i = 0; i < 10; ++i) {
    FakeConnection::Wait(!in_bursts ? 2 : i % 5 == 4 ? 50 : 0);
    connection.SendChunk("data: " + Json({{"choices", {{{"text", "ten tokens"}}}}}).dump() + "\n\n");
  }
  connection.SendChunk("data: " + Json({{"choices", Json::array()}, {"usage", usage}}).dump() + "\n\ndata: [DONE]\n\n");
  connection.SendEnd();
}

TEST_F(BenchRunsTest, AServerIsMeasuredOverHttp) {
  FakeHttpServer server(AnswerLikeAServer);
  std::ofstream(folder_ + "/keys") << "# mine\nsecret\n";
  const Outcome outcome = RunQnext({"bench", "quick", "--url", server.url(), "--repetitions", "1", "--api-key-file",
                                    folder_ + "/keys", "--out", folder_ + "/report"});
  ASSERT_EQ(outcome.exit_code, kExitDone) << outcome.error;
  EXPECT_NE(outcome.out.find("Measured over HTTP: "), std::string::npos);
  EXPECT_NE(outcome.out.find("are wanted of the 80B.**"), std::string::npos) << outcome.out;
  EXPECT_EQ(outcome.out.find("The target is"), std::string::npos);
  EXPECT_EQ(outcome.out.find("## Memory"), std::string::npos);
  const Json json = ReadJson("report/report.json");
  EXPECT_EQ(json["facts"]["server"]["model"], "paper");
  EXPECT_EQ(json["facts"]["server"]["URL"], server.url() + "/v1");
  EXPECT_EQ(json["cells"][1]["samples"][0]["prompt_tokens"], 200);
  EXPECT_EQ(json["cells"][1]["samples"][0]["completion_tokens"], 100);
  EXPECT_EQ(json["cells"][1]["samples"][0]["inter_token_seconds"].size(), 90u);
  EXPECT_GT(json["verdict"]["median_tokens_per_second"], 100);
  for (const FakeRequest& request : server.requests()) {
    EXPECT_NE(request.head.find("Authorization: Bearer secret"), std::string::npos);
  }
}

TEST_F(BenchRunsTest, TokensInBurstsAreNoted) {
  FakeHttpServer server(AnswerLikeAServer);
  std::ofstream(folder_ + "/keys") << "bursts\n";
  const Outcome outcome = RunQnext({"bench", "quick", "--url", server.url(), "--repetitions", "1", "--api-key-file",
                                    folder_ + "/keys", "--out", folder_ + "/report"});
  ASSERT_EQ(outcome.exit_code, kExitDone) << outcome.error;
  EXPECT_NE(outcome.out.find("Token times look like scheduling of the client"), std::string::npos) << outcome.out;
}

TEST_F(BenchRunsTest, AServerThatIsNotThere) {
  std::string url;
  { url = FakeHttpServer(AnswerLikeAServer).url(); }
  const Outcome outcome = RunQnext({"bench", "quick", "--url", url, "--out", folder_ + "/report"});
  EXPECT_EQ(outcome.exit_code, kExitFailed);
  EXPECT_EQ(outcome.error, "qnext: error: " + url + "/v1/models: cannot connect: Connection refused\n");
  EXPECT_FALSE(FileExists(folder_ + "/report/report.json"));
}

}  // namespace
}  // namespace qnext
