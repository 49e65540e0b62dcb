#include "hw/cgroup.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace qnext {
namespace {

TEST(Cgroup, ReadsQuotas) {
  EXPECT_DOUBLE_EQ(ParseCpuMax("200000 100000\n"), 2.0);
  EXPECT_DOUBLE_EQ(ParseCpuMax("50000 100000"), 0.5);
  for (const char* none : {"max 100000", "", "rubbish", "100000", "-5 100000", "-1\n 100000\n", "5 0"})
    EXPECT_EQ(ParseCpuMax(none), 0) << none;
}

TEST(Cgroup, ReadsMemoryLimits) {
  EXPECT_EQ(ParseMemoryMax("134217728000\n"), 134217728000);
  for (const char* none : {"max\n", "", "-1", "0", "9223372036854771712\n", "18446744073709551615"})
    EXPECT_EQ(ParseMemoryMax(none), 0) << none;
}

// /proc and /sys in a folder.
class CgroupTree : public ::testing::Test {
 protected:
  void SetUp() override { std::filesystem::remove_all(root_); }
  void TearDown() override { std::filesystem::remove_all(root_); }

  void Write(const std::string& path, const std::string& text) const {
    const std::filesystem::path file = root_ + path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }

  std::string root_ = ::testing::TempDir() + "qnext_cgroup_test";
};

TEST_F(CgroupTree, NothingThereIsNoLimit) {
  EXPECT_EQ(CgroupCpuQuota(root_), 0);
  EXPECT_EQ(CgroupMemoryLimit(root_), 0);
}

TEST_F(CgroupTree, Version2TakesTheSmallestOnTheWayUp) {
  Write("/proc/self/cgroup", "0::/a/b\n");
  Write("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
  Write("/sys/fs/cgroup/a/b/memory.max", "5000\n");
  Write("/sys/fs/cgroup/a/cpu.max", "150000 100000\n");
  Write("/sys/fs/cgroup/a/memory.max", "4000\n");
  Write("/sys/fs/cgroup/a/memory.current", "1000\n");
  EXPECT_DOUBLE_EQ(CgroupCpuQuota(root_), 1.5);
  EXPECT_EQ(CgroupMemoryLimit(root_), 4000);
  const std::vector<CgroupMemoryFiles> groups = ReadCgroupMemory(root_);
  ASSERT_EQ(groups.size(), 3U);
  EXPECT_EQ(groups[0].limit, "5000\n");
  EXPECT_EQ(groups[0].used, "");
  EXPECT_EQ(groups[1].limit, "4000\n");
  EXPECT_EQ(groups[1].used, "1000\n");
}

TEST_F(CgroupTree, Version1HasAFolderForEachController) {
  Write("/proc/self/cgroup", "12:cpuset:/x\n10:cpu,cpuacct:/a/b\n4:memory:/m/n\n1:name=systemd:/a:b\n0::/init.scope\n");
  Write("/sys/fs/cgroup/cpu/a/b/cpu.cfs_quota_us", "-1\n");
  Write("/sys/fs/cgroup/cpu/a/b/cpu.cfs_period_us", "100000\n");
  Write("/sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "250000\n");
  Write("/sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n");
  Write("/sys/fs/cgroup/cpu/x/cpu.cfs_quota_us", "1000\n");
  Write("/sys/fs/cgroup/cpu/x/cpu.cfs_period_us", "100000\n");
  Write("/sys/fs/cgroup/memory/m/n/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_DOUBLE_EQ(CgroupCpuQuota(root_), 2.5);
  EXPECT_EQ(CgroupMemoryLimit(root_), 0);
  Write("/sys/fs/cgroup/memory/m/memory.limit_in_bytes", "8000\n");
  Write("/sys/fs/cgroup/memory/m/memory.usage_in_bytes", "3000\n");
  EXPECT_EQ(CgroupMemoryLimit(root_), 8000);
}

// The membership is the host's path, the mount begins at the container's own group.
TEST_F(CgroupTree, Version1InAContainer) {
  Write("/proc/self/cgroup", "3:cpu,cpuacct:/pods/7\n2:memory:/pods/7\n");
  Write("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "50000\n");
  Write("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  Write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "7000\n");
  EXPECT_DOUBLE_EQ(CgroupCpuQuota(root_), 0.5);
  EXPECT_EQ(CgroupMemoryLimit(root_), 7000);
}

TEST(Cgroup, ReadsFilesWithoutASize) {
  EXPECT_NE(ReadSystemFile("/proc/self/stat"), "");
  EXPECT_EQ(ReadSystemFile("/no/such/file"), "");
}

}  // namespace
}  // namespace qnext
