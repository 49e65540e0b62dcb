#include "cli/logits_store.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <vector>

namespace qnext {
namespace {

std::string Folder() {
  const std::string folder = ::testing::TempDir() + "qnext_logits_store_test";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  return folder;
}

TEST(LogitsStoreTest, GivesBackWhatItWasGivenAndLeavesNothing) {
  const std::string folder = Folder();
  Result<LogitsStore> made = LogitsStore::Create(folder, 3, 2, 24);
  ASSERT_TRUE(made.ok()) << made.status().message();
  const std::vector<std::vector<float>> rows = {{1, 2}, {-3, 4.5f}, {1e-30f, 7}};
  for (const std::vector<float>& row : rows) ASSERT_TRUE(made->Append(row).ok());
  EXPECT_EQ(made->rows(), 3);
  for (const int64_t row : {2, 0, 1}) {
    std::vector<float> read(2);
    ASSERT_TRUE(made->Read(row, read).ok());
    EXPECT_EQ(read, rows[static_cast<size_t>(row)]);
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder));
  std::filesystem::remove_all(folder);
}

TEST(LogitsStoreTest, SaysBeforehandWhatDoesNotFit) {
  const std::string folder = Folder();
  const Result<LogitsStore> limited = LogitsStore::Create(folder, 4, 2, 31);
  EXPECT_EQ(limited.status().code(), StatusCode::kResourceExhausted);
  EXPECT_NE(limited.status().message().find("the limit is 31 B: 3 places fit"), std::string::npos)
      << limited.status().message();
  const Result<LogitsStore> disk = LogitsStore::Create(folder, int64_t{1} << 44, int64_t{1} << 10, INT64_MAX);
  EXPECT_EQ(disk.status().code(), StatusCode::kResourceExhausted);
  EXPECT_NE(disk.status().message().find("free there are"), std::string::npos) << disk.status().message();
  EXPECT_EQ(LogitsStore::Create("/nonexistent/folder", 1, 1, 100).status().message().rfind("/nonexistent/folder: ", 0),
            0u);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace qnext
