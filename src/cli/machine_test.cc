#include "cli/machine.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>

#include "bench/machine_report.h"
#include "plan/machine_rates.h"

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

TEST(MachineTest, PlansReadWhatBenchMachineWrites) {
  MachineReport report;
  report.memory_bytes = int64_t{64} << 30;
  report.read = {{.threads = 8, .bytes_per_second = SpreadOf({80e9})}};
  report.gpu = {.name = "a card",
                .memory_bytes = int64_t{16} << 30,
                .read = SpreadOf({576e9}),
                .links = {{.way = "copy", .bytes = 1622016, .bytes_per_second = SpreadOf({12e9, 13e9, 14e9})}},
                .shared = {{.threads = 8, .cpu = SpreadOf({70e9}), .link = SpreadOf({11e9})}},
                .matmul_flops = SpreadOf({40e12})};
  const Result<MachineRates> rates = ParseMachineRates(FormatMachineJson(report), "machine.json");
  ASSERT_TRUE(rates.ok()) << rates.status().message();
  EXPECT_EQ(rates->MemoryRead(8), 80e9);
  EXPECT_EQ(rates->gpu_read, 576e9);
  EXPECT_EQ(rates->link, 13e9);
  EXPECT_EQ(rates->Both(8).cpu, 70e9);
  EXPECT_EQ(rates->Both(8).link, 11e9);
  EXPECT_EQ(rates->matmul_flops, 40e12);
  EXPECT_EQ(rates->vram_bytes, int64_t{16} << 30);
  report.gpu.reset();
  EXPECT_FALSE(ParseMachineRates(FormatMachineJson(report), "machine.json").ok());
}

TEST(MachineTest, ThePeakBeginsAnew) {
  constexpr size_t kBytes = size_t{256} << 20;
  // Not from the heap, which may keep what it is given back.
  void* memory = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  std::memset(memory, 1, kBytes);
  ::munmap(memory, kBytes);
  const int64_t before = ReadProcessMemory().peak_bytes;
  EXPECT_GE(before, static_cast<int64_t>(kBytes));
  if (!ResetPeakMemory()) GTEST_SKIP() << "this system does not let a process reset its peak";
  EXPECT_LT(ReadProcessMemory().peak_bytes, before - static_cast<int64_t>(kBytes / 2));
}

}  // namespace
}  // namespace qnext
