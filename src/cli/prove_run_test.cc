#include "cli/prove_run.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace qnext {
namespace {

TEST(DiskToMeasureTest, NeedsALargeFile) {
  const std::string folder = ::testing::TempDir() + "qnext_prove_run_test";
  std::filesystem::remove_all(folder);
  EXPECT_EQ(DiskToMeasure(folder), "");
  EXPECT_EQ(DiskToMeasure(""), "");
  std::filesystem::create_directories(folder + "/below");
  std::filesystem::create_symlink("nowhere", folder + "/link");
  std::ofstream(folder + "/small") << "text";
  EXPECT_EQ(DiskToMeasure(folder), "");
  std::ofstream(folder + "/large").close();
  std::filesystem::resize_file(folder + "/large", uintmax_t{64} << 20);
  EXPECT_EQ(DiskToMeasure(folder), folder);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace qnext
