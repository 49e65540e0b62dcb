#include "hw/cgroup.h"

#include <gtest/gtest.h>

namespace qnext {
namespace {

TEST(Cgroup, ReadsQuotas) {
  EXPECT_DOUBLE_EQ(ParseCpuMax("200000 100000\n"), 2.0);
  EXPECT_DOUBLE_EQ(ParseCpuMax("50000 100000"), 0.5);
  for (const char* none : {"max 100000", "", "rubbish", "100000", "-5 100000", "5 0"})
    EXPECT_EQ(ParseCpuMax(none), 0) << none;
}

TEST(Cgroup, ReadsMemoryLimits) {
  EXPECT_EQ(ParseMemoryMax("134217728000\n"), 134217728000);
  for (const char* none : {"max\n", "", "-1", "0"}) EXPECT_EQ(ParseMemoryMax(none), 0) << none;
}

TEST(Cgroup, ReadsFilesWithoutASize) {
  EXPECT_NE(ReadSystemFile("/proc/self/stat"), "");
  EXPECT_EQ(ReadSystemFile("/no/such/file"), "");
}

}  // namespace
}  // namespace qnext
