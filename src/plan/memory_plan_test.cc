#include "plan/memory_plan.h"

#include <gtest/gtest.h>

#include <string>

#include "plan/plan_report.h"

namespace qnext {
namespace {

// 100 bytes of VRAM and 50 of RAM.
MemoryPlan Small(int64_t vram, int64_t ram) {
  MemoryPlan plan{.rows = {{"dense weights", 70, Place::kVram},
                           {"KV cache", 30, Place::kVram},
                           {"routed experts", 50, Place::kRam}},
                  .vram_budget = vram,
                  .ram_budget = ram,
                  .longest_ctx = 640};
  AddUp(plan);
  return plan;
}

TEST(MemoryPlan, OneByteTooSmallIsRefusedByOneByte) {
  EXPECT_TRUE(Small(100, 50).fits());
  EXPECT_TRUE(CheckFits(Small(100, 50), 1000, {}).ok());
  const MemoryPlan vram = Small(99, 50), both = Small(99, 48);
  EXPECT_EQ(vram.vram_used, 100);
  EXPECT_EQ(vram.vram_missing, 1);
  EXPECT_EQ(CheckFits(vram, 640, {}).message(), "--vram: 99 B is too small by 1 B; it would fit with --vram 100");
  EXPECT_EQ(
      CheckFits(both, 640, {}).message(),
      "--vram: 99 B is too small by 1 B and --ram: 48 B is too small by 2 B; it would fit with --vram 100 --ram 50");
}

TEST(MemoryPlan, NamesOnlyWhatWouldFit) {
  EXPECT_EQ(CheckFits(Small(99, 50), 641, {{"--kv int8", Small(100, 50)}, {"--parallel 1", Small(98, 50)}}).message(),
            "--vram: 99 B is too small by 1 B; it would fit with --ctx 640, or --kv int8, or --vram 100");
}

TEST(MemoryPlan, FetchSlotsAreNotCounted) {
  EXPECT_EQ((MemoryPlan{.cached_experts = 60, .fetch_slots = 10, .routed_experts = 100}).cached_share(), 0.5);
  EXPECT_EQ(MemoryPlan().cached_share(), 0);
}

TEST(PlanReport, MarksTheFastestThatFits) {
  const auto report = [](double seconds, bool fits) {
    PlanReport r;
    r.model = "m";
    r.options = {{"--ctx", std::to_string(seconds)}, {"--kv", "bf16"}};
    r.plan = Small(100, 50);
    if (!fits) {
      r.plan.vram_missing = 5;
      r.fits = ResourceExhausted("no");
      return r;
    }
    DecodeEstimate estimate;
    estimate.overhead_seconds = seconds;
    r.decode = {{"uniform routing", 1, estimate}, {"recency routing", 1, estimate}};
    r.prefill = {{.tokens = 5, .miss_seconds = 1}};
    return r;
  };
  EXPECT_EQ(FastestThatFits({report(1, false), report(3, true), report(2, true), report(4, true)}), 2);
  EXPECT_EQ(FastestThatFits({report(1, false)}), -1);
  const std::string text = FormatSweepText({report(3, true), report(2, true), report(1, false)});
  EXPECT_NE(text.find("\n*        2.000000"), std::string::npos) << text;
  EXPECT_NE(text.find("too large by 5 B of VRAM"), std::string::npos) << text;
  EXPECT_NE(text.find("--kv bf16"), std::string::npos) << "the same everywhere: above the table\n" << text;
}

}  // namespace
}  // namespace qnext
