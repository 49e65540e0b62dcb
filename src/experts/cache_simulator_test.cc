#include "experts/cache_simulator.h"

#include <gtest/gtest.h>

#include <cmath>

#include "model/forced_routing.h"
#include "plan/hit_curve.h"

namespace qnext {
namespace {

constexpr int64_t kLayers = 8, kExperts = 512, kTop = 10, kPositions = 1536, kWarmUp = 256;

RoutingTrace Simulated(Routing kind) {
  ModelConfig config;
  config.num_layers = kLayers;
  config.layer_is_moe.assign(kLayers, true);
  config.num_experts = kExperts;
  config.num_experts_per_token = kTop;
  const ForcedRouting routing(kind, config, 1, kPositions);
  RoutingTrace trace{.layers = kLayers, .experts = kExperts, .top = kTop, .choices = {}};
  for (int64_t position = 0; position < kPositions; ++position) {
    for (int64_t layer = 0; layer < kLayers; ++layer) {
      for (int64_t i = 0; i < kTop; ++i) {
        trace.choices.push_back(static_cast<uint16_t>(routing.At(layer, position)[i]));
      }
    }
  }
  return trace;
}

const RoutingTrace& Recency() {
  static const RoutingTrace trace = Simulated(Routing::kRecency);
  return trace;
}

// Of every expert of every layer.
int64_t Share(double share) { return std::llround(share * static_cast<double>(kLayers * kExperts)); }

// As fast as can be: everything that misses is there at the next step.
CacheSimulation Unbounded(double share, CachePolicyKind kind) {
  return {.slots = Share(share),
          .policy = {.kind = kind},
          .promotions = {.most = kLayers * kTop, .least = kLayers * kTop},
          .upload_steps = 0,
          .warm_up = kWarmUp};
}

TEST(CacheSimulator, LruReproducesTheMeasuredCurve) {
  const auto hits = [](double share) {
    return SimulateCache(Recency(), Unbounded(share, CachePolicyKind::kLru)).hit_share;
  };
  EXPECT_NEAR(hits(0.125), 0.67, 0.02);
  EXPECT_GE(hits(0.15), 0.72 - 0.02);
  EXPECT_LE(hits(0.15), 0.79 + 0.02);
  EXPECT_NEAR(hits(0.25), 0.81, 0.02);
}

TEST(CacheSimulator, LruBeatsAnyFixedListAndEveryPolicyBeatsItWhereRoutingDrifts) {
  for (const double share : {0.05, 0.125, 0.15, 0.25, 0.32, 0.5}) {
    const double fixed = SimulateCache(Recency(), Unbounded(share, CachePolicyKind::kStatic)).hit_share;
    const double lru = SimulateCache(Recency(), Unbounded(share, CachePolicyKind::kLru)).hit_share;
    const double lfu = SimulateCache(Recency(), Unbounded(share, CachePolicyKind::kDecayedLfu)).hit_share;
    EXPECT_GT(lru, fixed) << share;
    EXPECT_GT(lfu, fixed) << share;
    EXPECT_GE(lru, lfu - 0.005) << share;
  }
}

TEST(CacheSimulator, BoundedPromotionsCostAFewPoints) {
  // The default bound, scaled from 48 layers to the layers here, and uploads a step late.
  const auto loss = [](double share, int64_t fetch) {
    CacheSimulation bounded = Unbounded(share, CachePolicyKind::kLru);
    bounded.promotions = {.most = PromotionThrottleOptions().most * kLayers / 48, .least = 1};
    bounded.upload_steps = 1;
    bounded.fetch_per_layer = fetch;
    const CacheSimulationResult result = SimulateCache(Recency(), bounded);
    EXPECT_LE(result.uploads_per_step, static_cast<double>(bounded.promotions.most));
    return SimulateCache(Recency(), Unbounded(share, CachePolicyKind::kLru)).hit_share - result.hit_share;
  };
  for (const double share : {0.23, 0.25, 0.32}) EXPECT_LT(loss(share, 0), 0.05) << share;
  // A cache of 15% would need 130 promotions a step; fetches that are kept make up for it.
  EXPECT_GT(loss(0.15, 0), 0.05);
  EXPECT_LT(loss(0.15, 1), 0.05);
}

TEST(CacheSimulator, UniformRoutingHitsTheCachedShareWhateverThePolicy) {
  const RoutingTrace uniform = Simulated(Routing::kUniform);
  for (const CachePolicyKind kind :
       {CachePolicyKind::kLru, CachePolicyKind::kDecayedLfu, CachePolicyKind::kSecondTouch}) {
    EXPECT_NEAR(SimulateCache(uniform, Unbounded(0.25, kind)).hit_share, 0.25, 0.01) << CachePolicyName(kind);
  }
}

// The curve that memory plans predict with is this simulator's.
TEST(CacheSimulator, AgreesWithThePlansHitCurve) {
  for (const double share : {0.10, 0.15, 0.23, 0.32, 0.5}) {
    CacheSimulation late = Unbounded(share, CachePolicyKind::kLru);
    late.upload_steps = 1;
    EXPECT_NEAR(SimulateCache(Recency(), late).hit_share, RecencyCeiling(share), 0.02) << share;
    for (const int64_t promotions : {5, 8}) {
      late.promotions = {.most = promotions, .least = promotions};
      const double kept = static_cast<double>(promotions) / static_cast<double>(kLayers * kTop);
      EXPECT_NEAR(SimulateCache(Recency(), late).hit_share, RecencyHitShare(share, kept), 0.05)
          << share << ", " << promotions;
    }
  }
}

TEST(CacheSimulator, PromotesFreelyOnlyWhereItPays) {
  CacheSimulation simulation = Unbounded(0.25, CachePolicyKind::kLru);
  simulation.promotions = {.most = 16, .least = 1};
  EXPECT_GT(SimulateCache(Recency(), simulation).uploads_per_step, 15);
  const CacheSimulationResult uniform = SimulateCache(Simulated(Routing::kUniform), simulation);
  EXPECT_LT(uniform.uploads_per_step, 2);
  EXPECT_NEAR(uniform.hit_share, 0.25, 0.01);
}

TEST(CacheSimulator, FetchedExpertsAreKeptForNothing) {
  CacheSimulation simulation = Unbounded(0.25, CachePolicyKind::kLru);
  simulation.promotions = {.most = 0, .least = 0};
  simulation.fetch_per_layer = 2;
  const CacheSimulationResult result = SimulateCache(Recency(), simulation);
  EXPECT_EQ(result.uploads_per_step, 0);
  EXPECT_GT(result.adopted_per_step, 0.9 * result.fetched_per_step);
  EXPECT_GT(result.hit_share, 0.72) << "0.81 if every miss were kept at once, and no slot served fetches";
}

TEST(CacheSimulator, APromptsCountsMakeAWarmStart) {
  CacheSimulation cold = Unbounded(0.25, CachePolicyKind::kLru);
  cold.promotions = {.most = 3, .least = 3};
  cold.warm_up = 0;
  CacheSimulation seeded = cold;
  seeded.seed_positions = 256;
  RoutingTrace start = Recency();
  start.choices.resize(static_cast<size_t>((256 + 64) * start.step_choices()));
  const double seeded_hits = SimulateCache(start, seeded).hit_share;
  start.choices.erase(start.choices.begin(), start.choices.begin() + 256 * start.step_choices());
  const double cold_hits = SimulateCache(start, cold).hit_share;
  EXPECT_GT(seeded_hits, cold_hits + 0.2);
}

TEST(RoutingTrace, SurvivesItsFileForm) {
  RoutingTrace trace{.layers = 2, .experts = 300, .top = 2, .choices = {0, 299, 7, 8, 1, 2, 3, 256}};
  const std::vector<std::byte> file = FormatRoutingTrace(trace);
  EXPECT_EQ(file.size(), 24u + 16u);
  Result<RoutingTrace> parsed = ParseRoutingTrace(file);
  ASSERT_TRUE(parsed.ok()) << parsed.status().message();
  EXPECT_EQ(parsed->choices, trace.choices);
  EXPECT_EQ(parsed->positions(), 2);
}

TEST(RoutingTrace, RefusesWhatIsNoTrace) {
  const RoutingTrace trace{.layers = 2, .experts = 300, .top = 2, .choices = {0, 299, 7, 8}};
  const std::vector<std::byte> good = FormatRoutingTrace(trace);
  const auto code = [](std::vector<std::byte> file) { return ParseRoutingTrace(file).status().code(); };
  EXPECT_EQ(code({}), StatusCode::kCorrupt);
  EXPECT_EQ(code({good.begin(), good.begin() + 24}), StatusCode::kCorrupt);
  EXPECT_EQ(code({good.begin(), good.end() - 1}), StatusCode::kCorrupt);
  const auto spoiled = [&](size_t at, int value) {
    std::vector<std::byte> file = good;
    file[at] = static_cast<std::byte>(value);
    return file;
  };
  EXPECT_EQ(code(spoiled(0, 'Q')), StatusCode::kCorrupt);
  EXPECT_EQ(code(spoiled(8, 2)), StatusCode::kUnsupported);
  EXPECT_EQ(code(spoiled(12, 0)), StatusCode::kCorrupt);
  EXPECT_EQ(code(spoiled(20, 255)), StatusCode::kCorrupt) << "not whole steps";
  EXPECT_EQ(code(spoiled(25, 2)), StatusCode::kCorrupt) << "expert 512 of 300";
}

}  // namespace
}  // namespace qnext
