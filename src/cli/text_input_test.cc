#include "cli/text_input.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <thread>

namespace qnext {
namespace {

class TextInputTest : public ::testing::Test {
 protected:
  void SetUp() override { std::filesystem::remove(path_); }
  void TearDown() override { std::filesystem::remove(path_); }

  std::string path_ = ::testing::TempDir() + "qnext_text_input_test";
};

TEST_F(TextInputTest, ReadsFilesUpToTheLimit) {
  std::ofstream(path_) << "12345";
  EXPECT_EQ(ReadTextInput(path_, 5).value(), "12345");
  EXPECT_EQ(ReadTextInput(path_, 4).status().message(), path_ + ": more than the 4 bytes that a text may have");
}

TEST_F(TextInputTest, WaitsForWhoWritesToAPipe) {
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  const std::string sent(200'000, 'x');  // more than a pipe holds
  std::thread writer([&] { std::ofstream(path_) << sent; });
  const Result<std::string> got = ReadTextInput(path_);
  writer.join();
  ASSERT_TRUE(got.ok()) << got.status().message();
  EXPECT_EQ(*got, sent);
}

TEST_F(TextInputTest, SaysWhyItCannot) {
  EXPECT_EQ(ReadTextInput("/no/such").status().message(), "/no/such: cannot be opened: No such file or directory");
  EXPECT_EQ(ReadTextInput("/tmp").status().message(), "/tmp: is a directory");
  EXPECT_EQ(ReadTextInput("/dev/zero", 1000).status().message(),
            "/dev/zero: more than the 1000 bytes that a text may have");
}

}  // namespace
}  // namespace qnext
