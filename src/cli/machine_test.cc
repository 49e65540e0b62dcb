#include "cli/machine.h"

#include <gtest/gtest.h>

namespace qnext {
namespace {

TEST(MachineTest, ReadsSizesOfProcFiles) {
  const std::string text = "Name:\tqnext\nVmHWM:\t    1234 kB\nVmRSS:\t 7 kB\n";
  EXPECT_EQ(ProcBytes(text, "VmHWM"), 1234 * 1024);
  EXPECT_EQ(ProcBytes(text, "VmRSS"), 7 * 1024);
  EXPECT_EQ(ProcBytes(text, "VmSwap"), 0);
  EXPECT_EQ(ProcBytes(text, "Name"), 0);
}

TEST(MachineTest, ThisProcessUsesMemory) {
  const ProcessMemory memory = ReadProcessMemory();
  EXPECT_GT(memory.resident_bytes, 0);
  EXPECT_GE(memory.peak_bytes, memory.resident_bytes / 2);
}

TEST(MachineTest, DescribesCoresAndMemory) {
  const FactGroup machine = DescribeMachine();
  const auto has = [&](const std::string& name) {
    for (const Fact& fact : machine.facts) {
      if (fact.name == name) return true;
    }
    return false;
  };
  EXPECT_TRUE(has("CPU"));
  EXPECT_TRUE(has("physical cores"));
  EXPECT_TRUE(has("memory"));
  EXPECT_TRUE(has("system"));
}

}  // namespace
}  // namespace qnext
