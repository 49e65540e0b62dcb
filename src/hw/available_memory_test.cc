#include "hw/available_memory.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

namespace qnext {
namespace {

TEST(AvailableMemoryTest, ReadsTheLinesOfTheKernel) {
  EXPECT_EQ(ParseKilobytes("MemTotal: 100 kB\nMemAvailable:    50 kB\n", "MemAvailable"), 51200);
  EXPECT_EQ(ParseKilobytes("MemTotal: 100 kB\n", "MemAvailable"), -1);
  EXPECT_EQ(ParseKilobytes("MemAvailable: kB\n", "MemAvailable"), -1);
  EXPECT_EQ(ParseKilobytes("MemAvailable: 99999999999999999999 kB\n", "MemAvailable"), -1);
}

TEST(AvailableMemoryTest, PageCacheOfAGroupCountsAsFree) {
  EXPECT_EQ(CgroupMemoryLeft("1000\n", "700\n", "anon 300\ninactive_file 250\nactive_file 150\n"), 700);
  EXPECT_EQ(CgroupMemoryLeft("1000\n", "1700\n", ""), 0);
  const char* v1 = "inactive_file 1\nactive_file 1\ntotal_inactive_file 250\ntotal_active_file 150\n";
  EXPECT_EQ(CgroupMemoryLeft("1000\n", "700\n", v1), 700);
  EXPECT_EQ(CgroupMemoryLeft("9223372036854771712\n", "700\n", v1), -1);
  EXPECT_EQ(CgroupMemoryLeft("max\n", "700\n", ""), -1);
  EXPECT_EQ(CgroupMemoryLeft("", "", ""), -1);
}

TEST(AvailableMemoryTest, ThisMachineHasSome) {
  const AvailableMemory here = GetAvailableMemory();
  EXPECT_GT(here.bytes, int64_t{16} << 20);
  EXPECT_FALSE(here.limit.empty());
}

}  // namespace
}  // namespace qnext
