#include "cli/sample_log.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/file.h"

namespace qnext {
namespace {

class SampleLogTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "qnext_sample_log_test";
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string path() const { return folder_ + "/samples.jsonl"; }
  static LoggedSample Sample(int64_t run) {
    LoggedSample sample{.kind = CellKind::kContext, .work = {1948, 100}};
    sample.sample.run = run;
    sample.sample.measured.inter_token_seconds = {0.25, 0.1};
    return sample;
  }
  std::string ErrorOf(const BenchmarkSettings& settings) const {
    return SampleLog::Open(folder_, settings).status().message();
  }

  std::string folder_;
  const BenchmarkSettings settings_ = {{"benchmark", "standard"}, {"--ctx", "32768"}};
};

TEST_F(SampleLogTest, IsTakenUp) {
  {
    SampleLog log = SampleLog::Open(folder_, settings_).value();
    EXPECT_TRUE(log.before().empty());
    ASSERT_TRUE(log.Append(Sample(0)).ok());
    ASSERT_TRUE(log.Append(Sample(1)).ok());
  }
  {
    SampleLog log = SampleLog::Open(folder_, settings_).value();
    ASSERT_EQ(log.before().size(), 2u);
    EXPECT_EQ(log.before()[1].sample.run, 1);
    EXPECT_EQ(log.before()[1].work, (WorkloadCase{1948, 100}));
    EXPECT_EQ(log.before()[1].sample.measured.inter_token_seconds, (std::vector<double>{0.25, 0.1}));
    ASSERT_TRUE(log.Append(Sample(2)).ok());
  }
  EXPECT_EQ(SampleLog::Open(folder_, settings_)->before().size(), 3u);
}

TEST_F(SampleLogTest, OtherSettingsAreRefusedByName) {
  ASSERT_TRUE(SampleLog::Open(folder_, settings_).ok());
  const std::string begun = "--out: " + path() + " was begun with other settings: ";
  const std::string end = "; use another folder, or remove the file to begin anew";
  EXPECT_EQ(ErrorOf({{"benchmark", "standard"}, {"--ctx", "8192"}}), begun + "--ctx was 32768 and is 8192" + end);
  EXPECT_EQ(
      ErrorOf({{"benchmark", "stress"}, {"--kv", "int8"}}),
      begun + "benchmark was standard and is stress; --kv was none and is int8; --ctx was 32768 and is none" + end);
  EXPECT_TRUE(SampleLog::Open(folder_, settings_).ok());
}

TEST_F(SampleLogTest, AHalfWrittenLineIsDropped) {
  {
    SampleLog log = SampleLog::Open(folder_, settings_).value();
    ASSERT_TRUE(log.Append(Sample(0)).ok());
  }
  std::ofstream(path(), std::ios::app) << R"({"cell": "cont)";
  {
    SampleLog log = SampleLog::Open(folder_, settings_).value();
    EXPECT_EQ(log.before().size(), 1u);
    ASSERT_TRUE(log.Append(Sample(1)).ok());
  }
  EXPECT_EQ(SampleLog::Open(folder_, settings_)->before().size(), 2u);
}

TEST_F(SampleLogTest, OneAtATime) {
  const Result<SampleLog> log = SampleLog::Open(folder_, settings_);
  ASSERT_TRUE(log.ok());
  EXPECT_EQ(ErrorOf(settings_), path() + ": another benchmark is writing there; use another --out");
}

TEST_F(SampleLogTest, SomethingElseIsNotTouched) {
  std::ofstream(path()) << "a diary\n";
  EXPECT_EQ(ErrorOf(settings_), path() + ": is no log of samples of qnext bench; use another --out");
  EXPECT_EQ(ReadFileToString(path()).value(), "a diary\n");
  std::ofstream(path()) << R"({"format": "qnext-samples", "format_version": 7, "settings": {}})"
                        << "\n";
  EXPECT_EQ(ErrorOf(settings_), path() + ": is the log of another version of qnext bench; use another --out");
}

TEST_F(SampleLogTest, ABrokenLineIsNamed) {
  { ASSERT_TRUE(SampleLog::Open(folder_, settings_).ok()); }
  std::ofstream(path(), std::ios::app) << "{}\n";
  EXPECT_EQ(ErrorOf(settings_), path() + ": line 2: cell: is missing");
}

TEST_F(SampleLogTest, AFolderThatIsNotThere) {
  EXPECT_EQ(SampleLog::Open(folder_ + "/no", settings_).status().message(),
            folder_ + "/no/samples.jsonl: No such file or directory");
}

}  // namespace
}  // namespace qnext
