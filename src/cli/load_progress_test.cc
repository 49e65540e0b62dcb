#include "cli/load_progress.h"

#include <gtest/gtest.h>

namespace qnext {
namespace {

TEST(LoadProgressTest, BytesRateAndTimeLeft) {
  const LoadProgress now{.bytes_done = int64_t{10} << 30, .bytes_total = int64_t{40} << 30};
  EXPECT_EQ(FormatLoadProgress(now, 10), "10.0 GiB of 40.0 GiB, 1.00 GiB/s, 30 s left");
}

TEST(LoadProgressTest, NoRateWithoutBytesOrTime) {
  EXPECT_EQ(FormatLoadProgress({.bytes_done = 0, .bytes_total = 1 << 20}, 10), "0 B of 1.00 MiB");
  EXPECT_EQ(FormatLoadProgress({.bytes_done = 1 << 19, .bytes_total = 1 << 20}, 0), "512 KiB of 1.00 MiB");
}

TEST(LoadProgressTest, TheBarFills) {
  EXPECT_EQ(FormatBar(0, 4), "[....]");
  EXPECT_EQ(FormatBar(0.5, 4), "[##..]");
  EXPECT_EQ(FormatBar(1.5, 4), "[####]");
}

TEST(LoadProgressTest, AQuickLoadPrintsNothing) {
  std::FILE* file = std::tmpfile();
  ASSERT_NE(file, nullptr);
  {
    LoadProgressPrinter printer(file, "loading");
    printer.Update({.bytes_done = 1, .bytes_total = 2});
    printer.Update({.bytes_done = 2, .bytes_total = 2});
  }
  EXPECT_EQ(std::ftell(file), 0);
  std::fclose(file);
}

}  // namespace
}  // namespace qnext
