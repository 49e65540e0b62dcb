// The probes measure something, and what they say they measure. How much is the machine's business.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "hw/disk_probe.h"
#include "hw/memory_probe.h"
#include "hw/pool_probe.h"

namespace qnext {
namespace {

TEST(MemoryProbe, TouchesWhatItSays) {
  ThreadPool pool(2);
  ProbeMemory memory(5 << 20, pool);
  EXPECT_EQ(memory.size(), 8 << 20);  // two whole huge pages for each half
  const auto count = [&](std::byte value) { return std::count(memory.data(), memory.data() + memory.size(), value); };
  EXPECT_EQ(count(std::byte{1}), memory.size());
  for (const double rate : MeasureMemory(MemoryOperation::kRead, memory, pool, 3)) EXPECT_GT(rate, 1e7);
  EXPECT_EQ(count(std::byte{1}), memory.size());
  std::fill(memory.data(), memory.data() + memory.size() / 2, std::byte{7});
  EXPECT_GT(MeasureMemory(MemoryOperation::kCopy, memory, pool), 1e7);
  EXPECT_EQ(count(std::byte{7}), memory.size());
  EXPECT_GT(MeasureMemory(MemoryOperation::kWrite, memory, pool), 1e7);
  EXPECT_EQ(count(std::byte{0}), memory.size());
  EXPECT_EQ(BytesMoved(MemoryOperation::kCopy, memory), 4 << 20);
  EXPECT_EQ(BytesMoved(MemoryOperation::kWrite, memory), 8 << 20);
}

TEST(PoolProbe, ALoopTakesTime) {
  ThreadPool pool(2);
  for (const double seconds : MeasureForkJoin(pool, 3)) {
    EXPECT_GT(seconds, 1e-9);
    EXPECT_LT(seconds, 1);
  }
  EXPECT_EQ(MeasureWakeUp(pool, 4).size(), 4u);
}

#if defined(__x86_64__)
TEST(ClockProbe, IsThatOfAProcessor) {
  const double clock = MeasureClock();
  EXPECT_GT(clock, 0.2e9);
  EXPECT_LT(clock, 8e9);
}
#endif

class DiskProbeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "qnext_disk_probe_test";
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  void Make(const std::string& name, int64_t bytes) {
    std::ofstream(folder_ + "/" + name).close();
    std::filesystem::resize_file(folder_ + "/" + name, static_cast<uintmax_t>(bytes));
  }

  std::string folder_;
};

TEST_F(DiskProbeTest, ReadsTheLargestFileOfAFolder) {
  Make("small", 100);
  Make("large", kLeastDiskProbeBytes + 12345);
  const Result<DiskRate> rate = MeasureDiskRead(folder_, {.threads = 2, .passes = 3, .pass_seconds = 5});
  ASSERT_TRUE(rate.ok()) << rate.status().message();
  EXPECT_EQ(rate->path, folder_ + "/large");
  EXPECT_EQ(rate->threads, 2);
  EXPECT_EQ(rate->bytes, kLeastDiskProbeBytes);  // whole blocks
  ASSERT_EQ(rate->bytes_per_second.size(), 3u);
  for (const double one : rate->bytes_per_second) EXPECT_GT(one, 1e6);
}

TEST_F(DiskProbeTest, SaysWhyNot) {
  EXPECT_EQ(MeasureDiskRead(folder_, {}).status().message(), folder_ + ": holds no file that could be read");
  Make("small", 100);
  EXPECT_EQ(MeasureDiskRead(folder_, {}).status().message(),
            folder_ + "/small: 100 B are too few to measure a disk with; 64.0 MiB are needed");
  EXPECT_EQ(MeasureDiskRead("/no/such", {}).status().message().rfind("/no/such: cannot be opened: ", 0), 0u);
}

}  // namespace
}  // namespace qnext
