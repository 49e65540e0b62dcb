#include "experts/split_policy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

#include "base/random.h"

namespace qnext {
namespace {

TEST(ServingTime, FindsOverheadAndRate) {
  ServingTime time(1.0, 32);
  for (int i = 0; i < 200; ++i) {
    const int n = 1 + i % 5;
    time.Observe(n, 3 + 2.0 * n);
  }
  EXPECT_NEAR(time.overhead(), 3, 0.01);
  EXPECT_NEAR(time.each(), 2, 0.01);
  EXPECT_NEAR(time.Predict(10), 23, 0.1);
  EXPECT_EQ(time.Predict(0), 0);
}

TEST(ServingTime, OneSizeGivesARateThroughTheOrigin) {
  ServingTime time(1.0, 8);
  for (int i = 0; i < 200; ++i) time.Observe(4, 8);
  EXPECT_NEAR(time.Predict(4), 8, 1e-6);
  EXPECT_NEAR(time.Predict(2), 4, 0.1);
}

TEST(ServingTime, AnOutlierCountsForLittleAndAChangeForMuch) {
  ServingTime time(1.0, 64);
  for (int i = 0; i < 200; ++i) time.Observe(1 + i % 3, 1.0 + i % 3);
  time.Observe(2, 1000);
  EXPECT_LT(time.Predict(2), 2.1);
  time.Observe(2, 0);
  time.Observe(2, std::nan(""));
  time.Observe(0, 5);
  EXPECT_LT(time.Predict(2), 2.1) << "no measurement";
  for (int i = 0; i < 20; ++i) time.Observe(1 + i % 3, 10.0 * (1 + i % 3));
  EXPECT_NEAR(time.Predict(2), 20, 1) << "a machine ten times slower is believed within twenty samples";
  for (int i = 0; i < 20; ++i) time.Observe(1 + i % 3, 1.0 + i % 3);
  EXPECT_NEAR(time.Predict(2), 2, 0.2);
}

TEST(ServingTime, NeverFallsWithMoreExperts) {
  ServingTime time(1.0, 8);
  for (int i = 0; i < 100; ++i) time.Observe(1 + i % 2, i % 2 == 0 ? 5 : 3);
  EXPECT_GE(time.Predict(5), time.Predict(1));
  EXPECT_NEAR(time.Predict(1), 4, 0.3);
}

SplitPolicyOptions OneLayer() {
  return {.layers = 1,
          .max_fetch = 4,
          .max_misses = 10,
          .cpu_seconds_per_expert = 1,
          .fetch_seconds_per_expert = 1,
          .interval = 1};
}

TEST(SplitPolicy, ChoosesWhatAHandComputes) {
  // The CPU takes 2 for an expert, a fetch 3, alone or not. Six misses: q=2 gives max(8, 6) = 8; q=3 max(6, 9) = 9;
  // q=1 max(10, 3); so 2.
  SplitPolicyOptions options = OneLayer();
  options.cpu_seconds_per_expert = 2;
  options.fetch_seconds_per_expert = 3;
  options.trial_share = 0;
  SplitPolicy policy(options);
  EXPECT_DOUBLE_EQ(policy.Predict(6, 0), 12);
  EXPECT_DOUBLE_EQ(policy.Predict(6, 2), 8);
  EXPECT_DOUBLE_EQ(policy.Predict(6, 3), 9);
  EXPECT_DOUBLE_EQ(policy.Predict(3, 4), 9);
  for (int i = 0; i < 200; ++i) {
    const int q = policy.quotas()[0];
    policy.Observe(std::vector<LayerServing>{
        {.cpu = 6 - q, .fetched = q, .cpu_seconds = 2.0 * (6 - q), .fetch_seconds = 3.0 * q}});
  }
  EXPECT_EQ(policy.settled(0), 2);
  EXPECT_NEAR(policy.ExpectedSeconds(0, 2), 8, 0.01);
}

TEST(SplitPolicy, SettlesOnAPureStrategyWhereMixingHurts) {
  // Whoever works while the other does takes ten times as long.
  SplitPolicy policy(OneLayer());
  for (int i = 0; i < 2000; ++i) {
    const int q = std::min(policy.quotas()[0], 4);
    const bool both = q > 0 && q < 4;
    policy.Observe(std::vector<LayerServing>{{.cpu = 4 - q,
                                              .fetched = q,
                                              .cpu_seconds = (both ? 10.0 : 1.0) * (4 - q),
                                              .fetch_seconds = (both ? 10.0 : 1.5) * q}});
  }
  EXPECT_EQ(policy.settled(0), 0);
}

TEST(SplitPolicy, HysteresisHoldsAgainstSmallGains) {
  // Two quotas that are as good as each other within 1%: no flutter.
  SplitPolicyOptions options = OneLayer();
  options.trial_share = 0;
  SplitPolicy policy(options);
  Random random(1);
  int changes = 0, last = -1;
  for (int i = 0; i < 2000; ++i) {
    const int q = policy.quotas()[0];
    if (i > 100 && policy.settled(0) != last) ++changes;
    last = policy.settled(0);
    const double noise = 0.99 + 0.02 * random.Uniform();
    policy.Observe(std::vector<LayerServing>{
        {.cpu = 5 - q, .fetched = q, .cpu_seconds = noise * (5 - q), .fetch_seconds = noise * q}});
  }
  EXPECT_LE(changes, 2);
}

TEST(SplitPolicy, WithoutFetchSlotsThereIsNoQuota) {
  SplitPolicyOptions options = OneLayer();
  options.max_fetch = 0;
  SplitPolicy policy(options);
  for (int i = 0; i < 20; ++i)
    policy.Observe(std::vector<LayerServing>{{.cpu = 5, .fetched = 0, .cpu_seconds = 5, .fetch_seconds = 0}});
  EXPECT_EQ(policy.quotas()[0], 0);
  EXPECT_EQ(policy.fetch_slots_wanted(), 0);
}

// A machine whose CPU and link share DRAM. Rates in experts per second.
struct Machine {
  double cpu = 0;     // alone
  double link = 0;    // alone
  double memory = 0;  // both together
  double cpu_overhead = 8e-6, fetch_overhead = 5e-6;

  // Both start at once; when one has finished the other goes on at its own rate.
  LayerServing Serve(int cpu_experts, int fetched, double noise) const {
    double cpu_left = cpu_experts, fetch_left = fetched, now = 0, cpu_done = 0, fetch_done = 0;
    const double squeeze = std::min(1.0, memory / (cpu + link));
    while (cpu_left > 1e-12 || fetch_left > 1e-12) {
      const bool both = cpu_left > 1e-12 && fetch_left > 1e-12;
      const double cpu_rate = cpu_left > 1e-12 ? cpu * (both ? squeeze : 1) : 0;
      const double link_rate = fetch_left > 1e-12 ? link * (both ? squeeze : 1) : 0;
      double step = 1e9;
      if (cpu_rate > 0) step = std::min(step, cpu_left / cpu_rate);
      if (link_rate > 0) step = std::min(step, fetch_left / link_rate);
      now += step;
      if (cpu_rate > 0 && (cpu_left -= step * cpu_rate) <= 1e-12) cpu_done = now;
      if (link_rate > 0 && (fetch_left -= step * link_rate) <= 1e-12) fetch_done = now;
    }
    return {.cpu = cpu_experts,
            .fetched = fetched,
            .cpu_seconds = cpu_experts > 0 ? (cpu_done + cpu_overhead) * noise : 0,
            .fetch_seconds = fetched > 0 ? (fetch_done + fetch_overhead) * noise : 0};
  }
};

constexpr int kLayers = 24, kTop = 10;

int DrawMisses(Random& random, double miss_share) {
  int n = 0;
  for (int i = 0; i < kTop; ++i) n += random.Uniform() < miss_share ? 1 : 0;
  return n;
}

double Seconds(const LayerServing& layer) { return std::max(layer.cpu_seconds, layer.fetch_seconds); }

// Mean seconds of a layer under a fixed quota.
double FixedSeconds(const Machine& machine, double miss_share, int quota) {
  Random random(99);
  double sum = 0;
  constexpr int kDraws = 2000;
  for (int i = 0; i < kDraws; ++i) {
    const int n = DrawMisses(random, miss_share), q = std::min(n, quota);
    sum += Seconds(machine.Serve(n - q, q, 1));
  }
  return sum / kDraws;
}

struct Outcome {
  double live = 0, best_fixed = 0, better_pure = 0;
};

Outcome Compare(const Machine& machine, double miss_share, uint64_t seed) {
  // Guesses that are three times off, one way or the other.
  const double wrong = seed % 2 == 0 ? 3 : 1.0 / 3;
  SplitPolicy policy({.layers = kLayers,
                      .max_fetch = kTop,
                      .max_misses = kTop,
                      .cpu_seconds_per_expert = wrong / machine.cpu,
                      .fetch_seconds_per_expert = 1 / (wrong * machine.link)});
  Random random(seed);
  std::vector<LayerServing> layers(kLayers);
  double sum = 0;
  constexpr int kWarmUp = 200, kSteps = 300;
  for (int step = 0; step < kWarmUp + kSteps; ++step) {
    for (int layer = 0; layer < kLayers; ++layer) {
      const int n = DrawMisses(random, miss_share);
      const int q = std::min(n, policy.quotas()[static_cast<size_t>(layer)]);
      // 10% noise; one measurement in a hundred is ten times off. The noise is the measurement's, not the time's.
      const LayerServing truth = machine.Serve(n - q, q, 1);
      if (step >= kWarmUp) sum += Seconds(truth);
      const double noise = random.Uniform() < 0.01 ? 10 : 0.9 + 0.2 * random.Uniform();
      layers[static_cast<size_t>(layer)] = machine.Serve(n - q, q, noise);
    }
    policy.Observe(layers);
  }
  Outcome outcome{.live = sum / (kSteps * kLayers), .best_fixed = 1e9, .better_pure = 0};
  for (int quota = 0; quota <= kTop; ++quota) {
    outcome.best_fixed = std::min(outcome.best_fixed, FixedSeconds(machine, miss_share, quota));
  }
  outcome.better_pure = std::min(FixedSeconds(machine, miss_share, 0), FixedSeconds(machine, miss_share, kTop));
  return outcome;
}

TEST(SplitPolicySimulation, IsNeverWorseThanTheBetterPureStrategyAndNearTheBestFixedOne) {
  constexpr double kGigabyte = 1e9 / 1622016;  // experts
  double worst_pure = 0, worst_fixed = 0;
  uint64_t seed = 0;
  for (const double cpu : {8.0, 25.0, 70.0, 115.0}) {         // two weak cores .. fifteen strong ones
    for (const double link : {3.0, 6.0, 12.0, 25.0, 50.0}) {  // PCIe 3 x4 .. PCIe 5 x16
      for (const double memory : {1.0, 0.75, 0.5}) {          // share of both rates that DRAM gives to both
        for (const double misses : {0.15, 0.32, 0.7}) {
          const Machine machine = {.cpu = cpu * kGigabyte,
                                   .link = link * kGigabyte,
                                   .memory = std::max({cpu, link, memory * (cpu + link)}) * kGigabyte};
          const Outcome outcome = Compare(machine, misses, ++seed);
          worst_pure = std::max(worst_pure, outcome.live / outcome.better_pure);
          worst_fixed = std::max(worst_fixed, outcome.live / outcome.best_fixed);
          EXPECT_LT(outcome.live, 1.02 * outcome.better_pure)
              << "CPU " << cpu << ", link " << link << ", memory " << memory << ", misses " << misses;
          EXPECT_LT(outcome.live, 1.05 * outcome.best_fixed)
              << "CPU " << cpu << ", link " << link << ", memory " << memory << ", misses " << misses;
        }
      }
    }
  }
  std::printf("worst against the better pure strategy %.3f, against the best fixed quota %.3f\n", worst_pure,
              worst_fixed);
}

TEST(SplitPolicySimulation, FollowsALinkThatBecomesSlow) {
  constexpr double kGigabyte = 1e9 / 1622016;
  Machine machine = {.cpu = 70 * kGigabyte, .link = 50 * kGigabyte, .memory = 120 * kGigabyte};
  SplitPolicy policy({.layers = kLayers,
                      .max_fetch = kTop,
                      .max_misses = kTop,
                      .cpu_seconds_per_expert = 1 / machine.cpu,
                      .fetch_seconds_per_expert = 1 / machine.link});
  Random random(5);
  std::vector<LayerServing> layers(kLayers);
  const auto run = [&](int steps) {
    for (int step = 0; step < steps; ++step) {
      for (int layer = 0; layer < kLayers; ++layer) {
        const int n = DrawMisses(random, 0.5), q = std::min(n, policy.quotas()[static_cast<size_t>(layer)]);
        layers[static_cast<size_t>(layer)] = machine.Serve(n - q, q, 1);
      }
      policy.Observe(layers);
    }
  };
  run(100);
  EXPECT_GE(policy.settled(0), 2);
  machine.link /= 16;
  run(60);
  EXPECT_LE(policy.settled(0), 1);
  machine.link *= 16;
  run(400);
  EXPECT_GE(policy.settled(0), 2) << "trials notice that it is fast again";
}

}  // namespace
}  // namespace qnext
