#include "cli/memory_table.h"

#include <gtest/gtest.h>

namespace qnext {
namespace {

const std::vector<PlanRow> kRows = {{"KV cache", 3 << 20, Place::kVram},
                                    {"CUDA context and code", 1 << 20, Place::kVram},
                                    {"routed experts", 8 << 20, Place::kRam},
                                    {"transfer buffers", 2 << 20, Place::kRam},
                                    {"program and driver", 5 << 20, Place::kRam}};

TEST(MemoryTable, CountsWhatTheDriverPinnedBesideTheProcess) {
  EXPECT_EQ(PlannedBytes(kRows, Place::kVram), 4 << 20);
  EXPECT_EQ(RamUsed("VmHWM:\t 9216 kB\nHugetlbPages:\t 1024 kB\n", kRows), (9 << 20) + (1 << 20) + (2 << 20));
}

TEST(MemoryTable, PlannedAgainstUsed) {
  const std::string text = FormatMemoryTable(kRows, {.vram = 5 << 20, .ram = 12 << 20});
  EXPECT_NE(text.find("VRAM KV cache                    3.00 MiB         3145728\n"), std::string::npos) << text;
  EXPECT_NE(text.find("VRAM 4.00 MiB planned, 5.00 MiB used (of the card"), std::string::npos) << text;
  EXPECT_NE(text.find("RAM  15.0 MiB planned, 12.0 MiB used (VmHWM"), std::string::npos) << text;
  EXPECT_NE(FormatMemoryTable(kRows, {}).find("not known used"), std::string::npos);
  EXPECT_EQ(FormatMemoryTable({}, {}), "");
}

}  // namespace
}  // namespace qnext
