#include "cli/result_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "base/file.h"

namespace qnext {
namespace {

namespace fs = std::filesystem;

class ResultFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "qnext_result_file_test";
    fs::remove_all(folder_);
    fs::create_directories(folder_ + "/model");
    Write("in", "question");
    Write("model/config.json", "{}");
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string At(const std::string& name) const { return folder_ + "/" + name; }
  void Write(const std::string& name, const std::string& text) const { std::ofstream(At(name)) << text; }
  std::string Read(const std::string& name) const { return ReadFileToString(At(name)).value(); }
  std::string Apart(const std::string& path) const {
    return CheckApart("--out", path, {.files = {{"--in", At("in")}}, .folder = At("model")}).message();
  }

  std::string folder_;
};

TEST_F(ResultFileTest, NoNameOfWhatIsReadIsWritten) {
  fs::create_symlink(At("in"), At("soft"));
  fs::create_hard_link(At("in"), At("hard"));
  for (const std::string name : {"in", "soft", "hard", "model/../in"}) {
    EXPECT_EQ(Apart(At(name)), "--out: " + At(name) + " is the input of --in too; it would be lost");
  }
  EXPECT_EQ(Apart(At("other")), "");
  EXPECT_EQ(Apart("-"), "");
  EXPECT_EQ(Apart("/dev/null"), "");
}

TEST_F(ResultFileTest, NothingIsWrittenIntoTheCheckpoint) {
  fs::create_directory_symlink(At("model"), At("alias"));
  Write("blob", "weights");
  fs::create_symlink(At("blob"), At("model/shard"));  // as in Hugging Face's cache
  fs::create_hard_link(At("model/config.json"), At("hard"));
  for (const std::string name : {"model/config.json", "model/new", "alias/new", "model/../model/new", "blob", "hard"}) {
    EXPECT_EQ(Apart(At(name)).rfind("--out: " + At(name) + " is in the checkpoint's folder " + At("model"), 0), 0u)
        << name;
  }
  EXPECT_EQ(Apart(At("model-2")), "");
  EXPECT_EQ(Apart(At("nowhere/new")), "");
}

TEST_F(ResultFileTest, TheOldFileStaysUntilTheNewOneIsComplete) {
  Write("out", "old");
  fs::permissions(At("out"), fs::perms(0640));
  fs::create_symlink("out", At("link"));
  ASSERT_TRUE(ResultFile::Check(At("link")).ok());
  {
    Result<ResultFile> file = ResultFile::Create(At("link"));
    ASSERT_TRUE(file.ok()) << file.status().message();
    ASSERT_TRUE(file->Append("a").ok());
    EXPECT_EQ(Read("out"), "old");
    EXPECT_EQ(Read("out.partial"), "a\n");
    ASSERT_TRUE(file->Append("b").ok());
    ASSERT_TRUE(file->Finish().ok());
    EXPECT_EQ(file->Remains(), "");
  }
  EXPECT_EQ(Read("out"), "a\nb\n");
  EXPECT_TRUE(fs::is_symlink(At("link")));
  EXPECT_EQ(fs::status(At("out")).permissions(), fs::perms(0640));
  EXPECT_FALSE(fs::exists(At("out.partial")));
}

TEST_F(ResultFileTest, FinishedLinesOutliveAFailure) {
  for (int lines = 0; lines < 2; ++lines) {
    Result<ResultFile> file = ResultFile::Create(At("out"));
    ASSERT_TRUE(file.ok()) << file.status().message();
    if (lines == 0) continue;  // leaves nothing, or the next could not be created
    ASSERT_TRUE(file->Append("a").ok());
    EXPECT_EQ(file->Remains(), "; 1 finished line is in " + At("out.partial"));
  }
  EXPECT_EQ(Read("out.partial"), "a\n");
  EXPECT_FALSE(fs::exists(At("out")));
  const Status again = ResultFile::Check(At("out"));
  EXPECT_EQ(again.message().rfind(At("out.partial") + ": is left from a run that did not end", 0), 0u)
      << again.message();
}

TEST_F(ResultFileTest, AWholeFileIsThereCompleteOrNotAtAll) {
  Write("out", "old");
  fs::permissions(At("out"), fs::perms(0640));
  fs::create_symlink("out", At("link"));
  const std::vector<std::string_view> pieces = {"a", "", "b"};
  ASSERT_TRUE(WriteWholeFile(At("link"), pieces).ok());
  EXPECT_EQ(Read("out"), "ab");
  EXPECT_TRUE(fs::is_symlink(At("link")));
  EXPECT_EQ(fs::status(At("out")).permissions(), fs::perms(0640));
  ASSERT_TRUE(WriteWholeFile(At("new"), "c").ok());
  EXPECT_EQ(Read("new"), "c");
  EXPECT_EQ(WriteWholeFile("/dev/full", "a").message(), "/dev/full: cannot be written: No space left on device");
  EXPECT_EQ(WriteWholeFile(At("no/such"), "a").message(),
            At("no/such") + ": cannot be created: No such file or directory");

  // A file system that has no more room for it, in the form that a test can have.
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit usual = {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &usual), 0);
  const rlimit small = {.rlim_cur = 4, .rlim_max = usual.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string failed = WriteWholeFile(At("out"), "longer").message();
  std::string of_line;
  {
    Result<ResultFile> lines = ResultFile::Create(At("lines"));
    if (lines.ok() && lines->Append("abc").ok()) of_line = lines->Append("defg").message();
  }
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &usual), 0);
  std::signal(SIGXFSZ, old_handler);
  EXPECT_EQ(failed, At("out") + ": cannot be written: File too large");
  EXPECT_EQ(Read("out"), "ab");
  EXPECT_EQ(of_line, At("lines.partial") + ": cannot be written: File too large");
  EXPECT_EQ(Read("lines.partial"), "abc\n");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()),
            6);  // in, model, out, link, new, lines.partial
}

TEST_F(ResultFileTest, SaysWhyAPlaceCannotBeWritten) {
  EXPECT_EQ(ResultFile::Check(At("no/such")).message(),
            At("no/such") + ": cannot be created: No such file or directory");
  EXPECT_EQ(ResultFile::Check(At("in/below")).message(), At("in/below") + ": cannot be created: Not a directory");
  EXPECT_EQ(ResultFile::Check(At("model")).message(), At("model") + ": is a directory");
  Result<ResultFile> full = ResultFile::Create("/dev/full");
  ASSERT_TRUE(full.ok());
  EXPECT_EQ(full->Append("a").message(), "/dev/full: cannot be written: No space left on device");
  EXPECT_TRUE(fs::exists("/dev/full"));
}

}  // namespace
}  // namespace qnext
