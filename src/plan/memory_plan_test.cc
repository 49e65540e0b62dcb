#include "plan/memory_plan.h"

#include <gtest/gtest.h>

#include <string>

#include "plan/plan_report.h"

namespace qnext {
namespace {

constexpr int64_t kPage = SlotGeometry::kPageBytes;

// Two layers of 100 experts of 1 MiB; everything else in small round numbers.
PlanRequest Small() {
  PlanRequest request;
  request.weights.dense = {{Component::kLinearAttention, 1000}, {Component::kLmHead, 500}};
  request.weights.embedding_bytes = 400;
  request.weights.moe_layers = 2;
  request.weights.experts = 100;
  request.weights.expert_bytes = 1 << 20;
  request.sizes = {.kv_page_tokens = 64,
                   .kv_page_bytes = 10,
                   .state_bytes = 70,
                   .workspace_bytes = 200,
                   .context_bytes = 300,
                   .staging_bytes = 30,
                   .process_bytes = 40};
  request.vram = 1 << 30;
  request.ram = 1 << 30;
  request.ctx = 640;
  request.max_ctx = 100000;
  request.parallel = 2;
  request.prefix_store = 5000;
  request.fetch_per_layer = 3;
  return request;
}

// 1000 + 500 + 2 * 70 + 200 + 300 + 2 * 10 pages of 10.
constexpr int64_t kFixed = 2340;
// 200 experts are 100 huge pages; 400 + 5000 + 30 + 40.
constexpr int64_t kRam = 100 * kPage + 5470;

int64_t RowBytes(const MemoryPlan& plan, const std::string& component) {
  for (const PlanRow& row : plan.rows) {
    if (row.component == component) return row.bytes;
  }
  return 0;
}

TEST(MemoryPlan, AddsUpToTheByte) {
  PlanRequest request = Small();
  const MemoryPlan plan = ComputePlan(request);
  EXPECT_TRUE(plan.fits());
  EXPECT_EQ(RowBytes(plan, "KV cache"), 200);
  EXPECT_EQ(RowBytes(plan, "recurrent states"), 140);
  EXPECT_EQ(RowBytes(plan, "linear attention"), 1000);
  EXPECT_EQ(plan.slots, 200) << "everything is cached, and nothing need be fetched";
  EXPECT_EQ(plan.fetch_slots, 0);
  EXPECT_EQ(plan.cached_share(), 1);
  EXPECT_EQ(plan.vram_used, kFixed + 200 * (1 << 20));
  EXPECT_EQ(plan.ram_used, kRam);
  int64_t vram = 0, ram = 0;
  for (const PlanRow& row : plan.rows) (row.place == Place::kVram ? vram : ram) += row.bytes;
  EXPECT_EQ(vram, plan.vram_used);
  EXPECT_EQ(ram, plan.ram_used);
}

TEST(MemoryPlan, SlotsTakeWhatIsLeftInWholePages) {
  PlanRequest request = Small();
  request.vram = kFixed + 50 * kPage;
  MemoryPlan plan = ComputePlan(request);
  EXPECT_EQ(plan.slots, 100);
  EXPECT_EQ(plan.fetch_slots, 6);
  EXPECT_EQ(plan.cached_experts, 94);
  EXPECT_EQ(plan.vram_used, request.vram);
  request.vram -= 1;
  plan = ComputePlan(request);
  EXPECT_EQ(plan.slots, 98);
  EXPECT_TRUE(plan.fits());
}

TEST(MemoryPlan, OneByteTooSmallIsRefusedByOneByte) {
  PlanRequest request = Small();
  request.vram = kFixed;
  request.ram = kRam;
  MemoryPlan plan = ComputePlan(request);
  EXPECT_TRUE(plan.fits());
  EXPECT_EQ(plan.slots, 0);
  EXPECT_TRUE(CheckFits(request, plan, {}).ok());
  EXPECT_EQ(plan.longest_ctx, 640);

  request.vram -= 1;
  plan = ComputePlan(request);
  EXPECT_EQ(plan.vram_missing, 1);
  Status status = CheckFits(request, plan, {});
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(), "--vram: 2.28 KiB is too small by 1 B; it would fit with --ctx 576, or --vram 2340");

  request = Small();
  request.ram = kRam - 1;
  plan = ComputePlan(request);
  EXPECT_EQ(plan.ram_missing, 1);
  status = CheckFits(request, plan, {});
  EXPECT_EQ(status.message(), "--ram: 200 MiB is too small by 1 B; it would fit with --ram " + std::to_string(kRam));
}

TEST(MemoryPlan, WhatItNamesWouldFit) {
  PlanRequest request = Small();
  request.vram = kFixed - 150;
  request.ram = kRam - 7;
  PlanRequest fewer = request, both = request;
  fewer.parallel = 1;
  both.parallel = 1;
  both.prefix_store -= 7;
  const MemoryPlan plan = ComputePlan(request);
  const Status status = CheckFits(request, plan, {{"--parallel 1", fewer}, {"--parallel 1 --prefix-store 4993", both}});
  EXPECT_EQ(
      status.message(),
      "--vram: 2.14 KiB is too small by 150 B and --ram: 200 MiB is too small by 7 B; it would fit with --parallel "
      "1 --prefix-store 4993, or --vram 2340 --ram " +
          std::to_string(kRam));
}

TEST(MemoryPlan, LongestContextFillsTheBudget) {
  PlanRequest request = Small();
  for (const int64_t extra : {0L, 19L, 20L, 12345L}) {
    request.vram = kFixed + extra;
    request.ctx = 640;
    const int64_t longest = ComputePlan(request).longest_ctx;
    EXPECT_EQ(longest, 640 + extra / 20 * 64);
    request.ctx = longest;
    EXPECT_TRUE(ComputePlan(request).fits());
    request.ctx = longest + 1;
    EXPECT_FALSE(ComputePlan(request).fits());
  }
  request.vram = int64_t{1} << 40;
  EXPECT_EQ(ComputePlan(request).longest_ctx, request.max_ctx);
  request.vram = 100;
  EXPECT_EQ(ComputePlan(request).longest_ctx, 0);
}

TEST(MemoryPlan, AModelWithoutExpertsHasNoSlots) {
  PlanRequest request = Small();
  request.weights.moe_layers = 0;
  request.weights.experts = 0;
  request.weights.expert_bytes = 0;
  const MemoryPlan plan = ComputePlan(request);
  EXPECT_EQ(plan.slots, 0);
  EXPECT_EQ(plan.vram_used, kFixed);
  EXPECT_EQ(plan.ram_used, kRam - 100 * kPage);
  EXPECT_EQ(plan.cached_share(), 0);
}

TEST(MemoryPlan, ATiedEmbeddingIsInVram) {
  PlanRequest request = Small();
  request.weights.tied = true;
  const MemoryPlan plan = ComputePlan(request);
  EXPECT_EQ(RowBytes(plan, "embedding and head"), 400);
  EXPECT_EQ(RowBytes(plan, "embedding"), 0);
}

TEST(PlanReport, MarksTheFastestThatFits) {
  const auto report = [](double seconds, bool fits) {
    PlanReport r;
    r.model = "m";
    r.options = {{"--ctx", std::to_string(seconds)}, {"--kv", "bf16"}};
    r.plan = ComputePlan(Small());
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
