// The router on the GPU against the reference, and its split against a plain loop.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "compare.h"
#include "kernels/cuda/cuda_test_util.h"
#include "kernels/cuda/router.h"
#include "kernels/kernels_test_util.h"

namespace qnext {
namespace {

using namespace kernels_test;  // NOLINT: the helpers of this folder's tests
using cuda_test::DeviceArray;

class CudaRouter : public cuda_test::CudaTest {};

struct Case {
  int64_t m, experts, top;
  bool normalize = true;
  bool lists = false;
  int32_t quota = 0, capacity = 0;
  bool shared = true;
};

struct Outputs {
  std::vector<int32_t> experts, entry_slots, cpu_rows, cpu_experts, fetched;
  std::vector<float> weights, entry_weights, cpu_weights;
  int32_t cpu_count = 0, fetch_count = 0;
};

constexpr int32_t kSharedSlot = 9000, kFirstFetchSlot = 5000;

Outputs Run(const Case& c, const std::vector<float>& logits, const std::vector<float>& gate,
            const std::vector<int32_t>& slot_map, const int32_t* forced) {
  std::vector<int32_t> fetch_slots(Index(c.capacity));
  std::iota(fetch_slots.begin(), fetch_slots.end(), kFirstFetchSlot);
  const std::vector<int32_t> given(forced, forced + (forced != nullptr ? c.m * c.top : 0));
  const int64_t pairs = c.m * c.top, entries = c.m * (c.top + 1);
  DeviceArray<float> d_logits(logits), d_gate(gate), weights(pairs), entry_weights(entries), cpu_weights(pairs);
  DeviceArray<int32_t> d_map(slot_map), d_fetch(fetch_slots), d_quota(std::vector<int32_t>{c.quota}), d_forced(given);
  DeviceArray<int32_t> experts(pairs), entry_slots(entries), cpu_count(1), cpu_rows(pairs), cpu_experts(pairs);
  DeviceArray<int32_t> fetch_count(1), fetched(c.capacity);
  cuda::RouterSplitArgs args = {.logits = d_logits.get(),
                                .shared_gate = c.shared ? d_gate.get() : nullptr,
                                .forced = forced != nullptr ? d_forced.get() : nullptr,
                                .placement = {.slot_map = d_map.get(),
                                              .fetch_slots = c.capacity > 0 ? d_fetch.get() : nullptr,
                                              .fetch_quota = c.capacity > 0 ? d_quota.get() : nullptr},
                                .shared_slot = c.shared ? kSharedSlot : -1,
                                .experts = experts.get(),
                                .weights = weights.get(),
                                .entry_slots = entry_slots.get(),
                                .entry_weights = entry_weights.get(),
                                .lists = {},
                                .m = c.m,
                                .num_experts = c.experts,
                                .top = c.top,
                                .normalize = c.normalize};
  if (c.lists) {
    args.lists = {cpu_count.get(),   cpu_rows.get(),    cpu_experts.get(),
                  cpu_weights.get(), fetch_count.get(), fetched.get()};
  }
  EXPECT_TRUE(cuda_test::IsOk(cuda::LaunchRouterSplit(args, nullptr)));
  EXPECT_TRUE(cuda_test::Synchronized());
  EXPECT_TRUE(experts.GuardsIntact() && weights.GuardsIntact() && entry_slots.GuardsIntact() &&
              entry_weights.GuardsIntact() && cpu_rows.GuardsIntact() && cpu_experts.GuardsIntact() &&
              cpu_weights.GuardsIntact() && fetched.GuardsIntact() && cpu_count.GuardsIntact() &&
              fetch_count.GuardsIntact());
  return {.experts = experts.Download(),
          .entry_slots = entry_slots.Download(),
          .cpu_rows = cpu_rows.Download(),
          .cpu_experts = cpu_experts.Download(),
          .fetched = fetched.Download(),
          .weights = weights.Download(),
          .entry_weights = entry_weights.Download(),
          .cpu_weights = cpu_weights.Download(),
          .cpu_count = cpu_count.Download().front(),
          .fetch_count = fetch_count.Download().front()};
}

// In order of row and rank: hit, fetched for this or an earlier row, CPU.
void ExpectSplit(const Case& c, const Outputs& out, const std::vector<int32_t>& slot_map) {
  std::vector<int32_t> fetched, rows, experts;
  std::vector<float> weights;
  for (int64_t pair = 0; pair < c.m * c.top; ++pair) {
    const int32_t expert = out.experts[Index(pair)];
    int32_t slot = slot_map[Index(expert)];
    if (slot < 0 && c.lists) {
      auto at = std::find(fetched.begin(), fetched.end(), expert);
      if (at == fetched.end() && static_cast<int32_t>(fetched.size()) < c.quota) {
        at = fetched.insert(fetched.end(), expert);
      }
      if (at != fetched.end()) slot = kFirstFetchSlot + static_cast<int32_t>(at - fetched.begin());
      if (slot < 0) {
        rows.push_back(static_cast<int32_t>(pair / c.top)), experts.push_back(expert);
        weights.push_back(out.weights[Index(pair)]);
      }
    }
    const int64_t entry = pair / c.top * (c.top + 1) + pair % c.top;
    EXPECT_EQ(out.entry_slots[Index(entry)], slot) << "pair " << pair;
    EXPECT_EQ(out.entry_weights[Index(entry)], out.weights[Index(pair)]) << "pair " << pair;
  }
  if (!c.lists) return;
  // A pair has a slot or is on the CPU's list, never both: the two counts are all pairs.
  ASSERT_EQ(out.cpu_count, static_cast<int32_t>(rows.size()));
  ASSERT_EQ(out.fetch_count, static_cast<int32_t>(fetched.size()));
  EXPECT_TRUE(BitEqual<int32_t>(std::span(out.cpu_rows).first(rows.size()), rows));
  EXPECT_TRUE(BitEqual<int32_t>(std::span(out.cpu_experts).first(rows.size()), experts));
  EXPECT_TRUE(BitEqual<float>(std::span(out.cpu_weights).first(rows.size()), weights));
  EXPECT_TRUE(BitEqual<int32_t>(std::span(out.fetched).first(fetched.size()), fetched));
  for (size_t i = rows.size(); i < out.cpu_rows.size(); ++i) EXPECT_EQ(out.cpu_rows[i], -1) << "past the end";
  for (size_t i = fetched.size(); i < out.fetched.size(); ++i) EXPECT_EQ(out.fetched[i], -1) << "past the end";
}

// `tied`: logits that are equal in many places. The bound is that of docs/numerics.md, "router".
void Check(const Case& c, bool tied, bool forced, uint32_t seed) {
  SCOPED_TRACE(::testing::Message() << "m " << c.m << " E " << c.experts << " top " << c.top << " normalize "
                                    << c.normalize << " tied " << tied << " forced " << forced << " quota " << c.quota);
  Random random(seed);
  // Choices are exact only where logits are apart: each row is a shuffled ladder from -6 to 6, with few steps where
  // tied.
  std::vector<float> logits;
  for (int64_t row = 0; row < c.m; ++row) {
    std::vector<float> ladder(Index(c.experts));
    for (int64_t i = 0; i < c.experts; ++i) {
      const int64_t step = tied ? i % 5 : i;
      ladder[Index(i)] = static_cast<float>(12.0 * static_cast<double>(step) / static_cast<double>(c.experts) - 6);
    }
    std::shuffle(ladder.begin(), ladder.end(), random.engine());
    logits.insert(logits.end(), ladder.begin(), ladder.end());
  }
  const std::vector<float> gate = random.Normal(c.m, 4);
  std::vector<int32_t> slot_map(Index(c.experts));
  for (int64_t e = 0; e < c.experts; ++e) {
    slot_map[Index(e)] = c.lists && random.engine()() % 3 != 0 ? -1 : static_cast<int32_t>(3 * e + 1);
  }
  std::vector<int32_t> experts(Index(c.m * c.top));
  std::vector<float> weights(experts.size());
  for (int64_t row = 0; forced && row < c.m; ++row) {
    std::vector<int32_t> all(Index(c.experts));
    std::iota(all.begin(), all.end(), 0);
    std::shuffle(all.begin(), all.end(), random.engine());
    std::copy_n(all.begin(), c.top, experts.begin() + row * c.top);
  }
  const Outputs out = Run(c, logits, gate, slot_map, forced ? experts.data() : nullptr);
  ReferenceKernels().router({.logits = logits.data(),
                             .experts = experts.data(),
                             .weights = weights.data(),
                             .num_experts = c.experts,
                             .top = c.top,
                             .normalize = c.normalize,
                             .forced = forced},
                            {0, c.m});
  ASSERT_TRUE(BitEqual<int32_t>(out.experts, experts));
  std::vector<double> bounds;
  for (const float w : weights) {
    bounds.push_back(Gamma(2 * 12 + static_cast<double>(c.experts + c.top) + 20) * static_cast<double>(w));
  }
  EXPECT_TRUE(ElementsWithin(out.weights, weights, bounds));
  ExpectSplit(c, out, slot_map);
  for (int64_t row = 0; row < c.m; ++row) {
    const size_t last = Index(row * (c.top + 1) + c.top);
    EXPECT_EQ(out.entry_slots[last], c.shared ? kSharedSlot : -1);
    const double expected = c.shared ? 1 / (1 + std::exp(-static_cast<double>(gate[Index(row)]))) : 0;
    EXPECT_NEAR(static_cast<double>(out.entry_weights[last]), expected, Gamma(7) * expected);
  }
  const Outputs again = Run(c, logits, gate, slot_map, forced ? experts.data() : nullptr);
  EXPECT_TRUE(BitEqual<float>(again.weights, out.weights));
  EXPECT_TRUE(BitEqual<float>(again.entry_weights, out.entry_weights));
  EXPECT_EQ(again.entry_slots, out.entry_slots);
  EXPECT_EQ(again.cpu_experts, out.cpu_experts);
}

TEST_F(CudaRouter, ChoosesAndWeighsAsTheReference) {
  uint32_t seed = 2500;
  for (const bool normalize : {true, false}) {
    for (const bool tied : {false, true}) {
      for (const bool forced : {false, true}) {
        for (const Case& c : {Case{1, 512, 10}, Case{8, 512, 10}, Case{70, 512, 10}, Case{3, 7, 7}, Case{2, 33, 1},
                              Case{5, 1024, 32}}) {
          Case one = c;
          one.normalize = normalize, one.shared = seed % 2 == 0;
          Check(one, tied, forced, seed++);
        }
      }
    }
  }
}

TEST_F(CudaRouter, EveryPairIsHitFetchedOrOnTheCpusList) {
  uint32_t seed = 2600;
  for (const int64_t m : {1, 3, 8}) {
    for (const int32_t quota : {0, 1, 4, 16}) {
      for (const bool forced : {false, true}) {
        // 24 experts for 8 rows of 10: most are wanted by several rows, and fetched once.
        Check({.m = m, .experts = 512, .top = 10, .lists = true, .quota = quota, .capacity = 16}, false, forced,
              seed++);
        Check({.m = m, .experts = 24, .top = 10, .lists = true, .quota = quota, .capacity = 16}, true, forced, seed++);
      }
    }
    Check({.m = m, .experts = 512, .top = 10, .lists = true}, false, false, seed++);  // nowhere to fetch to
  }
}

TEST(CudaRouterChecks, RefusesWhatNoKernelTakes) {
  EXPECT_EQ(cuda::LaunchRouterSplit({.m = 1, .num_experts = 1025, .top = 1}, nullptr).code(), StatusCode::kUnsupported);
  EXPECT_EQ(cuda::LaunchRouterSplit({.m = 1, .num_experts = 64, .top = 33}, nullptr).code(), StatusCode::kUnsupported);
  EXPECT_EQ(cuda::LaunchRouterSplit({.m = 1, .num_experts = 4, .top = 5}, nullptr).code(), StatusCode::kUnsupported);
}

}  // namespace
}  // namespace qnext
