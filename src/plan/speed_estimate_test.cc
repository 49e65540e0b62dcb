#include "plan/speed_estimate.h"

#include <gtest/gtest.h>

#include "plan/hit_curve.h"

namespace qnext {
namespace {

// The 80B model at 15 GiB as performance figures are stated for it: experts cached, dense bytes.
struct Case {
  PlanRequest request;
  MemoryPlan plan;
};

Case Model(int64_t expert_bytes, int64_t dense_bytes, double cached) {
  Case c;
  c.request.weights.dense = {{Component::kOther, dense_bytes}};
  c.request.weights.moe_layers = 48;
  c.request.weights.experts = 512;
  c.request.weights.expert_bytes = expert_bytes;
  c.plan.routed_experts = 24576;
  c.plan.cached_experts = static_cast<int64_t>(cached * 24576) + 96;
  c.plan.fetch_slots = 96;
  return c;
}

double Decode(const Case& c, RoutingModel routing, int64_t threads = 15, const char* machine = "reference") {
  return EstimateDecode(c.request, c.plan, *BuiltInMachine(machine), {.experts_per_token = 10}, routing, threads)
      .tokens_per_second();
}

TEST(SpeedEstimate, GivesTheBoundsThatTargetsAreMadeFrom) {
  const Case a = Model(1622016, 1600000000, 0.32), b = Model(1769472, 4100000000, 0.23);
  // The parts of those are rounded to 0.1 ms.
  EXPECT_NEAR(Decode(a, RoutingModel::kUniform), 172, 6);
  EXPECT_NEAR(Decode(b, RoutingModel::kUniform), 135, 4);
  EXPECT_GT(Decode(a, RoutingModel::kRecency), 1.2 * Decode(a, RoutingModel::kUniform));
  EXPECT_LT(Decode(a, RoutingModel::kUniform, 8), Decode(a, RoutingModel::kUniform));
}

TEST(SpeedEstimate, BoundOfAMeasuredRunIsByHand) {
  Case c = Model(1000000, 500000000, 0.5);
  c.request.sizes.state_bytes = 50000000;  // not in the bound's definition
  MachineRates machine;
  machine.memory_read = {{1, 100e9}};
  machine.link = 20e9;
  machine.gpu_read = 1e12;
  machine.shared = {{1, 90e9, 30e9}};
  const DecodeEstimate e = BoundOfRun(c.request, machine, 10, {.hit_share = 0.75, .promotions = 60}, 1);
  EXPECT_DOUBLE_EQ(e.missed_bytes, 120e6);
  EXPECT_DOUBLE_EQ(e.promoted_bytes, 60e6);
  EXPECT_DOUBLE_EQ(e.miss_seconds, 180e6 / 120e9);
  EXPECT_DOUBLE_EQ(e.gpu_seconds, (500e6 + 360e6) / 1e12);
  EXPECT_DOUBLE_EQ(e.overhead_seconds, 1.5e-3);
}

TEST(SpeedEstimate, IsByHand) {
  Case c = Model(1000000, 500000000, 0.5);
  c.request.sizes.state_bytes = 50000000;
  MachineRates machine;
  machine.memory_read = {{1, 100e9}};
  machine.link = 20e9;
  machine.gpu_read = 1e12;
  machine.shared = {{1, 90e9, 30e9}};
  machine.step_overhead = 0.001;
  const DecodeEstimate e = EstimateDecode(c.request, c.plan, machine,
                                          {.experts_per_token = 10, .kv_bytes_per_token = 1000, .context = 60000},
                                          RoutingModel::kUniform, 1);
  // 240 of 480 experts miss; the GPU reads 0.5 GB + 0.24 GB + twice 50 MB + 60 MB.
  EXPECT_DOUBLE_EQ(e.missed_bytes, 240e6);
  EXPECT_DOUBLE_EQ(e.miss_seconds, 240e6 / 120e9);
  EXPECT_DOUBLE_EQ(e.gpu_seconds, 0.9e9 / 1e12);
  EXPECT_DOUBLE_EQ(e.seconds(), 0.002 + 0.0009 + 0.001);
  EXPECT_EQ(e.limit, Limit::kMisses);
  EXPECT_EQ(e.promoted_bytes, 0);

  // Without fetch slots the CPU is alone, and has DRAM to itself.
  c.plan.fetch_slots = 0;
  c.plan.cached_experts -= 96;
  EXPECT_DOUBLE_EQ(
      EstimateDecode(c.request, c.plan, machine, {.experts_per_token = 10}, RoutingModel::kUniform, 1).miss_seconds,
      240e6 / 100e9);
  // All cached: nothing misses, whatever the routing.
  c.plan.cached_experts = 24576;
  const DecodeEstimate all =
      EstimateDecode(c.request, c.plan, machine, {.experts_per_token = 10}, RoutingModel::kRecency, 1);
  EXPECT_EQ(all.miss_seconds, 0);
  EXPECT_EQ(all.hit_share, 1);
  EXPECT_EQ(all.limit, Limit::kGpuMemory);
}

TEST(SpeedEstimate, HitsAreBoughtWithTheLink) {
  const Case c = Model(1622016, 1600000000, 0.32);
  MachineRates machine = *BuiltInMachine("reference");
  const auto estimate = [&] {
    return EstimateDecode(c.request, c.plan, machine, {.experts_per_token = 10}, RoutingModel::kRecency, 15);
  };
  const DecodeEstimate fast = estimate();
  EXPECT_NEAR(fast.hit_share, RecencyCeiling(0.32), 0.01);
  EXPECT_LE(fast.promoted_bytes, machine.link * fast.seconds() * 1.001);
  machine.link = 3e9;  // four lanes of PCIe 3
  machine.shared = {{15, 120e9, 3e9}};
  const DecodeEstimate slow = estimate();
  EXPECT_LT(slow.hit_share, 0.5);
  EXPECT_GT(slow.hit_share, 0.32);
}

TEST(HitCurve, PassesThroughTheMeasuredPoints) {
  EXPECT_EQ(UniformHitShare(0.3), 0.3);
  EXPECT_EQ(UniformHitShare(1.5), 1);
  EXPECT_NEAR(RecencyCeiling(0.15), 0.72, 0.02);
  EXPECT_NEAR(RecencyCeiling(0.25), 0.79, 0.02);
  EXPECT_EQ(RecencyCeiling(1), 1);
  EXPECT_EQ(RecencyHitShare(0.25, 0), 0.25);
  EXPECT_EQ(RecencyHitShare(0.25, 1), RecencyCeiling(0.25));
  for (double cached = 0; cached <= 1; cached += 0.01) {
    EXPECT_LE(RecencyHitShare(cached, 0.05), RecencyHitShare(cached, 0.1));
    EXPECT_LE(RecencyHitShare(cached, 0.1), RecencyHitShare(cached + 0.01, 0.1) + 1e-12);
    EXPECT_GE(RecencyCeiling(cached), cached - 1e-12);
  }
}

TEST(SpeedEstimate, APrefillStreamsMissingExpertsOncePerBlock) {
  const Case c = Model(1000000, 1000000000, 0.5);
  MachineRates machine = *BuiltInMachine("reference");
  machine.matmul_flops = 100e12;
  const auto estimate = [&](int64_t tokens, int64_t block) {
    return EstimatePrefill(c.request, c.plan, machine,
                           {.experts_per_token = 10, .flops_per_token = 6e9, .block = block}, tokens);
  };
  // All 24 576 experts are used by 8 192 tokens; half of them are there.
  const PrefillEstimate one = estimate(8192, 8192);
  EXPECT_NEAR(one.miss_seconds, 12288e6 / 50e9, 1e-6);
  EXPECT_DOUBLE_EQ(one.compute_seconds, 6e9 * 8192 / 100e12);
  EXPECT_EQ(one.limit, Limit::kCompute);
  EXPECT_NEAR(estimate(8192, 4096).miss_seconds, 2 * one.miss_seconds, 1e-4);
  // A single token reads its own experts only.
  EXPECT_NEAR(estimate(1, 4096).miss_seconds, 240e6 / 50e9, 1e-9);
  EXPECT_EQ(estimate(512, 4096).limit, Limit::kLink);
  machine.matmul_flops = 0;
  EXPECT_EQ(estimate(8192, 8192).limit, Limit::kLink);
}

}  // namespace
}  // namespace qnext
