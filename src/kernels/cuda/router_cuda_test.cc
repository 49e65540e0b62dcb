// The router and its split against the scalar reference and a plain reading of the contract in router.h.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <set>

#include "compare.h"
#include "kernels/cpu/matmul_problems.h"
#include "kernels/cuda/cuda_test_util.h"
#include "kernels/cuda/router.h"

namespace qnext::cuda {
namespace {

using cuda_test::DeviceArray;
using cuda_test::IsOk;
using cuda_test::Synchronized;

size_t Index(int64_t i) { return static_cast<size_t>(i); }

class CudaRouter : public cuda_test::CudaTest {};

struct Case {
  int64_t m, experts, top;
  bool normalize = true;
  bool forced = false;
  bool shared = true;
};

// A call on the device and everything it wrote.
struct Routed {
  std::vector<int32_t> experts, entry_slots, cpu_rows, cpu_experts, fetch_experts;
  std::vector<float> weights, entry_weights, cpu_weights;
  int32_t cpu_count = 0, fetch_count = 0;
};

Routed Route(const Case& c, const std::vector<float>& logits, const std::vector<float>& gates,
             const std::vector<int32_t>& slot_map, int32_t quota, const std::vector<int32_t>& forced, bool lists) {
  const int64_t pairs = c.m * c.top, entries = c.m * (c.top + 1);
  const DeviceArray<float> device_logits(logits), device_gates(gates);
  const DeviceArray<int32_t> map(slot_map), device_forced(forced), device_quota(std::vector<int32_t>{quota});
  std::vector<int32_t> fetch_slots(Index(std::max<int32_t>(1, quota)));
  std::iota(fetch_slots.begin(), fetch_slots.end(), 10000);
  const DeviceArray<int32_t> device_fetch_slots(fetch_slots);
  DeviceArray<int32_t> experts(pairs), entry_slots(entries), cpu_count(1), cpu_rows(pairs), cpu_experts(pairs),
      fetch_count(1), fetch_experts(std::max<int32_t>(1, quota));
  DeviceArray<float> weights(pairs), entry_weights(entries), cpu_weights(pairs);
  RouterSplitArgs args = {
      .logits = device_logits.get(),
      .shared_gate = c.shared ? device_gates.get() : nullptr,
      .forced = c.forced ? device_forced.get() : nullptr,
      .placement = {.slot_map = map.get(), .fetch_slots = device_fetch_slots.get(), .fetch_quota = device_quota.get()},
      .shared_slot = c.shared ? 77 : -1,
      .experts = experts.get(),
      .weights = weights.get(),
      .entry_slots = entry_slots.get(),
      .entry_weights = entry_weights.get(),
      .lists = {},
      .m = c.m,
      .num_experts = c.experts,
      .top = c.top,
      .normalize = c.normalize};
  if (lists) {
    args.lists = {.cpu_count = cpu_count.get(),
                  .cpu_rows = cpu_rows.get(),
                  .cpu_experts = cpu_experts.get(),
                  .cpu_weights = cpu_weights.get(),
                  .fetch_count = fetch_count.get(),
                  .fetch_experts = fetch_experts.get()};
  }
  EXPECT_TRUE(IsOk(LaunchRouterSplit(args, nullptr)));
  EXPECT_TRUE(Synchronized());
  for (const auto* array :
       {&experts, &entry_slots, &cpu_count, &cpu_rows, &cpu_experts, &fetch_count, &fetch_experts}) {
    EXPECT_TRUE(array->GuardsIntact());
  }
  for (const auto* array : {&weights, &entry_weights, &cpu_weights}) EXPECT_TRUE(array->GuardsIntact());
  return {.experts = experts.Download(),
          .entry_slots = entry_slots.Download(),
          .cpu_rows = cpu_rows.Download(),
          .cpu_experts = cpu_experts.Download(),
          .fetch_experts = fetch_experts.Download(),
          .weights = weights.Download(),
          .entry_weights = entry_weights.Download(),
          .cpu_weights = cpu_weights.Download(),
          .cpu_count = cpu_count.Download()[0],
          .fetch_count = fetch_count.Download()[0]};
}

// Logits at least 0.01 apart, so that rounding cannot change the choice, in random order.
std::vector<float> SeparateLogits(int64_t m, int64_t experts, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<float> all;
  for (int64_t row = 0; row < m; ++row) {
    std::vector<float> logits(Index(experts));
    for (int64_t e = 0; e < experts; ++e) logits[Index(e)] = static_cast<float>(e) * 0.013f - 3.0f;
    std::shuffle(logits.begin(), logits.end(), random);
    all.insert(all.end(), logits.begin(), logits.end());
  }
  return all;
}

void ExpectReference(const Case& c, const std::vector<float>& logits, const std::vector<int32_t>& forced,
                     const Routed& routed) {
  std::vector<int32_t> experts = c.forced ? forced : std::vector<int32_t>(Index(c.m * c.top));
  std::vector<float> weights(experts.size());
  ReferenceKernels().router({.logits = logits.data(),
                             .experts = experts.data(),
                             .weights = weights.data(),
                             .num_experts = c.experts,
                             .top = c.top,
                             .normalize = c.normalize,
                             .forced = c.forced},
                            {0, c.m});
  EXPECT_EQ(routed.experts, experts);
  std::vector<double> bound;
  for (int64_t row = 0; row < c.m; ++row) {
    const auto [low, high] =
        std::minmax_element(logits.begin() + row * c.experts, logits.begin() + (row + 1) * c.experts);
    const double range = static_cast<double>(*high) - static_cast<double>(*low);
    for (int64_t j = 0; j < c.top; ++j) {
      bound.push_back(Gamma(2 * range + static_cast<double>(c.experts + c.top) + 20) *
                      static_cast<double>(weights[Index(row * c.top + j)]));
    }
  }
  EXPECT_TRUE(ElementsWithin(routed.weights, weights, bound));
}

TEST_F(CudaRouter, ChoosesAndWeighsAsTheReference) {
  uint64_t seed = 0;
  for (const int64_t experts : {1, 2, 31, 33, 64, 512, 1024}) {
    for (const int64_t top : {1, 2, 10, 32}) {
      if (top > experts) continue;
      for (const int64_t m : {1, 3, 8, 70}) {
        for (const bool normalize : {true, false}) {
          const Case c = {.m = m, .experts = experts, .top = top, .normalize = normalize};
          SCOPED_TRACE(::testing::Message() << experts << " experts, top " << top << ", m " << m);
          const std::vector<float> logits = SeparateLogits(m, experts, ++seed), gates = RandomActivations(m, seed);
          std::vector<int32_t> map(Index(experts));
          std::iota(map.begin(), map.end(), 500);
          const Routed routed = Route(c, logits, gates, map, 0, {0}, /*lists=*/false);
          ExpectReference(c, logits, {}, routed);
          for (int64_t row = 0; row < m; ++row) {
            for (int64_t j = 0; j < top; ++j) {
              EXPECT_EQ(routed.entry_slots[Index(row * (top + 1) + j)], 500 + routed.experts[Index(row * top + j)]);
              EXPECT_EQ(routed.entry_weights[Index(row * (top + 1) + j)], routed.weights[Index(row * top + j)]);
            }
            EXPECT_EQ(routed.entry_slots[Index(row * (top + 1) + top)], 77);
            const double sigmoid = 1 / (1 + std::exp(-static_cast<double>(gates[Index(row)])));
            EXPECT_NEAR(routed.entry_weights[Index(row * (top + 1) + top)], sigmoid, 8 * 0x1p-24);
          }
          if (HasFailure()) return;
        }
      }
    }
  }
}

TEST_F(CudaRouter, TiesGoToTheLowerIndex) {
  const Case c = {.m = 2, .experts = 512, .top = 10, .normalize = true, .forced = false, .shared = false};
  std::vector<float> logits(1024, 1.0f);
  for (const int64_t e : {511, 40, 8}) logits[Index(512 + e)] = 2.0f;
  const Routed routed = Route(c, logits, {0}, std::vector<int32_t>(512, 3), 0, {0}, false);
  ExpectReference(c, logits, {}, routed);
  std::vector<int32_t> expected(10);
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_EQ(std::vector<int32_t>(routed.experts.begin(), routed.experts.begin() + 10), expected);
  EXPECT_EQ(std::vector<int32_t>(routed.experts.begin() + 10, routed.experts.begin() + 14),
            (std::vector<int32_t>{8, 40, 511, 0}));
  EXPECT_EQ(routed.entry_slots[10], -1) << "no shared expert";
}

// Every pair is in exactly one place, in order of row and rank, and the quota holds.
TEST_F(CudaRouter, SplitsMissesInOrderUnderTheQuota) {
  uint64_t seed = 100;
  for (const int64_t m : {1, 2, 8}) {
    for (const int32_t quota : {0, 1, 3, 100}) {
      for (const double hit_share : {0.0, 0.4, 1.0}) {
        for (const bool forced : {false, true}) {
          const Case c = {.m = m, .experts = 512, .top = 10, .normalize = true, .forced = forced};
          SCOPED_TRACE(::testing::Message()
                       << "m " << m << " quota " << quota << " hits " << hit_share << " forced " << forced);
          std::mt19937_64 random(++seed);
          const std::vector<float> logits = SeparateLogits(m, 512, seed), gates = RandomActivations(m, seed);
          std::vector<int32_t> map(512), choice(Index(m * 10));
          for (int32_t e = 0; e < 512; ++e)
            map[Index(e)] = std::uniform_real_distribution<>(0, 1)(random) < hit_share ? 900 + e : -1;
          // Few experts, so that rows share some.
          for (int64_t row = 0; row < m; ++row) {
            std::vector<int32_t> few(20);
            std::iota(few.begin(), few.end(), 100);
            std::shuffle(few.begin(), few.end(), random);
            std::copy_n(few.begin(), 10, choice.begin() + row * 10);
          }
          const Routed routed = Route(c, logits, gates, map, quota, choice, /*lists=*/true);
          ExpectReference(c, logits, choice, routed);
          std::vector<int32_t> fetched, cpu_rows, cpu_experts;
          std::vector<float> cpu_weights;
          for (int64_t row = 0; row < m; ++row) {
            for (int64_t j = 0; j < 10; ++j) {
              const int32_t expert = routed.experts[Index(row * 10 + j)];
              int32_t slot = map[Index(expert)];
              if (slot < 0) {
                const auto known = std::find(fetched.begin(), fetched.end(), expert);
                if (known != fetched.end()) {
                  slot = 10000 + static_cast<int32_t>(known - fetched.begin());
                } else if (static_cast<int32_t>(fetched.size()) < quota) {
                  slot = 10000 + static_cast<int32_t>(fetched.size());
                  fetched.push_back(expert);
                } else {
                  cpu_rows.push_back(static_cast<int32_t>(row));
                  cpu_experts.push_back(expert);
                  cpu_weights.push_back(routed.weights[Index(row * 10 + j)]);
                }
              }
              EXPECT_EQ(routed.entry_slots[Index(row * 11 + j)], slot) << row << " " << j;
            }
          }
          ASSERT_EQ(routed.cpu_count, static_cast<int32_t>(cpu_rows.size()));
          ASSERT_EQ(routed.fetch_count, static_cast<int32_t>(fetched.size()));
          const auto begin_of = [](const auto& all, size_t n) {
            return std::vector(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(n));
          };
          EXPECT_EQ(begin_of(routed.cpu_rows, cpu_rows.size()), cpu_rows);
          EXPECT_EQ(begin_of(routed.cpu_experts, cpu_rows.size()), cpu_experts);
          EXPECT_EQ(begin_of(routed.cpu_weights, cpu_rows.size()), cpu_weights);
          EXPECT_EQ(begin_of(routed.fetch_experts, fetched.size()), fetched);
        }
      }
    }
  }
}

}  // namespace
}  // namespace qnext::cuda
