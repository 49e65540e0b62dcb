#include "model/forced_routing.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

namespace qnext {
namespace {

ModelConfig Experts(int64_t layers, int64_t experts, int64_t top) {
  ModelConfig config;
  config.num_layers = layers;
  config.layer_is_moe.assign(static_cast<size_t>(layers), true);
  config.num_experts = experts;
  config.num_experts_per_token = top;
  return config;
}

TEST(ForcedRouting, ChoosesDistinctExpertsRepeatably) {
  for (Routing kind : {Routing::kUniform, Routing::kRecency}) {
    const ForcedRouting routing(kind, Experts(3, 512, 10), 7, 256), again(kind, Experts(3, 512, 10), 7, 256);
    const ForcedRouting other(kind, Experts(3, 512, 10), 8, 256);
    int64_t differences = 0;
    for (int64_t layer = 0; layer < 3; ++layer) {
      for (int64_t position = 0; position < 300; ++position) {
        std::set<int16_t> chosen;
        for (int64_t i = 0; i < 10; ++i) {
          const int16_t expert = routing.At(layer, position)[i];
          ASSERT_TRUE(expert >= 0 && expert < 512 && chosen.insert(expert).second);
          ASSERT_EQ(expert, again.At(layer, position)[i]);
          differences += expert != other.At(layer, position)[i] ? 1 : 0;
        }
      }
    }
    EXPECT_GT(differences, 8000);
  }
}

TEST(ForcedRouting, RecencyFollowsTheMeasuredHitCurve) {
  const ForcedRouting routing(Routing::kRecency, Experts(4, 512, 10), 1, 2048);
  EXPECT_NEAR(routing.LruHitShare(64, 200), 0.67, 0.015);
  EXPECT_GE(routing.LruHitShare(77, 200), 0.72);
  EXPECT_LE(routing.LruHitShare(77, 200), 0.79);
  EXPECT_NEAR(routing.LruHitShare(128, 200), 0.81, 0.015);
}

TEST(ForcedRouting, UniformHitsExactlyTheCachedShare) {
  const ForcedRouting routing(Routing::kUniform, Experts(4, 512, 10), 1, 2048);
  EXPECT_NEAR(routing.LruHitShare(128, 200), 0.25, 0.01);
  EXPECT_NEAR(routing.EntropyBits(), std::log2(512.0), 0.05);
}

TEST(ForcedRouting, WorksWhenEveryExpertIsChosen) {
  const ForcedRouting routing(Routing::kRecency, Experts(1, 4, 4), 1, 16);
  EXPECT_NEAR(routing.LruHitShare(4, 1), 1.0, 1e-12);
}

TEST(ForcedRouting, ParsesNames) {
  EXPECT_EQ(ParseRouting("recency"), Routing::kRecency);
  EXPECT_EQ(ParseRouting("real"), Routing::kReal);
  EXPECT_EQ(ParseRouting("Uniform"), std::nullopt);
  for (const Routing routing : {Routing::kReal, Routing::kUniform, Routing::kRecency}) {
    EXPECT_EQ(ParseRouting(RoutingName(routing)), routing);
  }
}

}  // namespace
}  // namespace qnext
