#include "base/file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <fstream>

namespace qnext {
namespace {

TEST(File, ReadsAtAPositionAndNamesThePathOnErrors) {
  const std::string path = ::testing::TempDir() + "/file_test.bin";
  std::ofstream(path) << "0123456789";
  Result<File> file = File::Open(path);
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->size(), 10);
  std::array<char, 4> four = {};
  ASSERT_TRUE(file->Read(3, std::as_writable_bytes(std::span(four))).ok());
  EXPECT_EQ(std::string(four.data(), 4), "3456");
  const Status past = file->Read(8, std::as_writable_bytes(std::span(four)));
  EXPECT_EQ(past.code(), StatusCode::kCorrupt);
  EXPECT_NE(past.message().find(path), std::string::npos);
  EXPECT_EQ(ReadFileToString(path).value(), "0123456789");
  EXPECT_FALSE(ReadFileToString(path, 5).ok());
}

TEST(File, LinksThatLeadNowhere) {
  const std::string path = ::testing::TempDir() + "/qnext_file_test_link";
  for (const auto& [target, reason] : {std::pair("qnext-no-such-file", "No such file or directory"),
                                       std::pair("qnext_file_test_link", "Too many levels of symbolic links")}) {
    ::unlink(path.c_str());
    ASSERT_EQ(::symlink(target, path.c_str()), 0);
    EXPECT_TRUE(FileExists(path));
    EXPECT_EQ(File::Open(path).status().message(), path + ": is a link that cannot be followed: " + reason);
  }
  ::unlink(path.c_str());
  EXPECT_FALSE(FileExists(path));
  EXPECT_FALSE(FileExists("/dev/null/x"));
}

TEST(File, AbsentAndDirectory) {
  EXPECT_EQ(File::Open("/no/such/file").status().code(), StatusCode::kNotFound);
  EXPECT_EQ(File::Open(::testing::TempDir()).status().code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace qnext
