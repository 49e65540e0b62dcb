#include "plan/machine_rates.h"

#include <gtest/gtest.h>

#include <string>

#include "config/testing.h"

namespace qnext {
namespace {

constexpr std::string_view kMachine = R"({
  "format": "qnext-machine", "format_version": 1, "date": "2026-11-26",
  "memory": {"bytes": 1000000000,
             "read": [{"threads": 8, "bytes_per_second": {"samples": 5, "median": 80e9, "min": 7e10, "max": 9e10}},
                      {"threads": 2, "bytes_per_second": 20e9}]},
  "gpu": {"memory_bytes": 17179869184, "read_bytes_per_second": 576e9,
          "link_bytes_per_second": {"median": 12e9}, "matmul_flops": 40e12, "step_overhead_seconds": 0.002,
          "shared": [{"threads": 8, "cpu_bytes_per_second": 70e9, "link_bytes_per_second": 11e9},
                     {"threads": 4, "cpu_bytes_per_second": 30e9, "link_bytes_per_second": 12e9}]}
})";

TEST(MachineRates, ReadsWhatBenchMachineWrites) {
  const Result<MachineRates> rates = ParseMachineRates(std::string(kMachine), "machine.json");
  ASSERT_TRUE(rates.ok()) << rates.status().message();
  EXPECT_EQ(rates->gpu_read, 576e9);
  EXPECT_EQ(rates->link, 12e9);
  EXPECT_EQ(rates->step_overhead, 0.002);
  EXPECT_EQ(rates->vram_bytes, int64_t{16} << 30);
  EXPECT_EQ(rates->ram_bytes, 1000000000);
  EXPECT_EQ(rates->MemoryRead(1), 10e9);
  EXPECT_EQ(rates->MemoryRead(2), 20e9);
  EXPECT_EQ(rates->MemoryRead(5), 50e9);
  EXPECT_EQ(rates->MemoryRead(32), 80e9);
  EXPECT_EQ(rates->Both(6).cpu, 50e9);
  EXPECT_EQ(rates->Both(6).link, 11.5e9);
  EXPECT_EQ(rates->Both(16).cpu, 70e9);
}

TEST(MachineRates, SharesWhatWasNotMeasuredTogether) {
  MachineRates rates;
  rates.memory_read = {{1, 10e9}, {8, 85e9}};
  rates.link = 12e9;
  EXPECT_EQ(rates.Both(8).cpu, 73e9);
  EXPECT_EQ(rates.Both(8).link, 12e9);
  EXPECT_EQ(rates.Both(1).cpu, 10e9) << "one thread leaves the link its part";
}

TEST(MachineRates, KnowsTheBuiltInOnes) {
  EXPECT_TRUE(BuiltInMachine("laptop").has_value());
  EXPECT_EQ(BuiltInMachine("reference")->Both(15).cpu, 115e9);
  EXPECT_FALSE(BuiltInMachine("Laptop").has_value());
}

TEST(MachineRates, NamesTheFieldAtFault) {
  const auto message = [](std::string text) { return ParseMachineRates(text, "m.json").status().message(); };
  const auto edited = [&](std::string_view from, std::string_view to) { return message(Edited(kMachine, from, to)); };
  EXPECT_NE(message("[").find("m.json"), std::string::npos);
  EXPECT_EQ(message("[]"), "m.json: must be a JSON object");
  EXPECT_NE(edited("qnext-machine", "other").find("m.json: format"), std::string::npos);
  EXPECT_NE(edited("\"format_version\": 1", "\"format_version\": 2").find("format_version"), std::string::npos);
  EXPECT_NE(edited("\"gpu\": {", "\"gup\": {").find("m.json: gpu: is missing"), std::string::npos);
  EXPECT_NE(edited("\"median\": 80e9", "\"middle\": 80e9").find("memory: read[0]: bytes_per_second: median"),
            std::string::npos);
  EXPECT_NE(edited("\"threads\": 2", "\"threads\": 0").find("read[1]: threads"), std::string::npos);
  EXPECT_NE(
      edited("\"read_bytes_per_second\": 576e9", "\"read_bytes_per_second\": -1").find("gpu: read_bytes_per_second"),
      std::string::npos);
  EXPECT_NE(edited("\"median\": 12e9", "\"median\": \"fast\"").find("link_bytes_per_second: median"),
            std::string::npos);
  EXPECT_NE(edited("\"threads\": 4", "\"threads\": \"4\"").find("gpu: shared[1]: threads"), std::string::npos);
}

}  // namespace
}  // namespace qnext
