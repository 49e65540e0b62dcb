#include "cli/result_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "cli/text_input.h"

namespace qnext {
namespace {

class ResultFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("qnext-result-file-" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_ / "model");
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string Path(const std::string& name) const { return (folder_ / name).string(); }
  void Put(const std::string& name, const std::string& text) const { std::ofstream(folder_ / name) << text; }
  std::string Get(const std::string& name) const {
    std::ostringstream text;
    text << std::ifstream(folder_ / name).rdbuf();
    return text.str();
  }

  std::filesystem::path folder_;
};

TEST_F(ResultFileTest, TakesItsNameWhenComplete) {
  Put("out", "before\n");
  ResultFile file = ResultFile::Open(Path("out"), Path("in"), Path("model")).value();
  ASSERT_TRUE(file.WriteLine("one").ok());
  EXPECT_EQ(Get("out"), "before\n");
  EXPECT_EQ(Get("out.partial"), "one\n");
  ASSERT_TRUE(file.WriteLine("two").ok());
  ASSERT_TRUE(file.Finish().ok());
  EXPECT_EQ(Get("out"), "one\ntwo\n");
  EXPECT_FALSE(std::filesystem::exists(Path("out.partial")));
}

TEST_F(ResultFileTest, WhatIsNotFinishedStays) {
  {
    ResultFile file = ResultFile::Open(Path("out"), Path("in"), "").value();
    ASSERT_TRUE(file.WriteLine("one").ok());
  }
  EXPECT_FALSE(std::filesystem::exists(Path("out")));
  EXPECT_EQ(Get("out.partial"), "one\n");
}

TEST_F(ResultFileTest, NeverTheInputNorTheCheckpoint) {
  Put("in", "question\n");
  Put("model/config.json", "{}");
  std::filesystem::create_hard_link(Path("in"), Path("hard"));
  std::filesystem::create_symlink(Path("in"), Path("soft"));
  std::filesystem::create_symlink(Path("model/config.json"), Path("config"));
  std::filesystem::create_directory_symlink(Path("model"), Path("link"));
  for (const char* name : {"in", "hard", "soft", "model/config.json", "model/new", "config", "link/new", "model"}) {
    const Result<ResultFile> file = ResultFile::Open(Path(name), Path("in"), Path("link"));
    ASSERT_FALSE(file.ok()) << name;
    EXPECT_EQ(file.status().message().rfind(Path(name) + ": ", 0), 0u) << file.status().message();
  }
  EXPECT_EQ(Get("in"), "question\n");
  EXPECT_EQ(Get("model/config.json"), "{}");
  EXPECT_TRUE(std::filesystem::is_empty(folder_ / "model") == false);
}

TEST_F(ResultFileTest, SaysWhyItCannotBeCreated) {
  const Result<ResultFile> file = ResultFile::Open(Path("no/such/out"), Path("in"), "");
  ASSERT_FALSE(file.ok());
  EXPECT_NE(file.status().message().find("No such file or directory"), std::string::npos) << file.status().message();
}

TEST_F(ResultFileTest, DevicesAreWrittenAsTheyAre) {
  ResultFile file = ResultFile::Open("/dev/null", Path("in"), "").value();
  EXPECT_TRUE(file.WriteLine("one").ok());
  EXPECT_TRUE(file.Finish().ok());
}

TEST_F(ResultFileTest, TextInputReadsFilesAndPipes) {
  Put("text", "hello");
  EXPECT_EQ(ReadTextInput(Path("text")).value(), "hello");
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ASSERT_EQ(::write(ends[1], "piped", 5), 5);
  ::close(ends[1]);
  EXPECT_EQ(ReadTextInput("/dev/fd/" + std::to_string(ends[0])).value(), "piped");
  ::close(ends[0]);
  EXPECT_FALSE(ReadTextInput(Path("text"), 4).ok());
  EXPECT_NE(ReadTextInput(Path("model")).status().message().find("is a directory"), std::string::npos);
  EXPECT_NE(ReadTextInput(Path("none")).status().message().find("No such file"), std::string::npos);
}

}  // namespace
}  // namespace qnext
