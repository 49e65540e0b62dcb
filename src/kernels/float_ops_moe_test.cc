// The vectorised router and the sum of the experts against the reference.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "compare.h"
#include "kernels/kernels_test_util.h"

namespace qnext {
namespace {

using namespace kernels_test;  // NOLINT: the helpers of this folder's tests

struct Routing {
  std::vector<int32_t> experts;
  std::vector<float> weights;
};

Routing Route(const Kernels& ops, const std::vector<float>& logits, int64_t num_experts, int64_t top, bool normalize,
              Grouping grouping = Grouping::kWhole, const std::vector<int32_t>* forced = nullptr) {
  const int64_t tokens = static_cast<int64_t>(logits.size()) / num_experts;
  Guarded<int32_t> experts(tokens * top);
  Guarded<float> weights(tokens * top);
  if (forced != nullptr) std::copy(forced->begin(), forced->end(), experts.get());
  const RouterArgs args = {.logits = logits.data(),
                           .experts = experts.get(),
                           .weights = weights.get(),
                           .num_experts = num_experts,
                           .top = top,
                           .normalize = normalize,
                           .forced = forced != nullptr};
  ForRanges(grouping, tokens, [&](Range range) { ops.router(args, range); });
  EXPECT_TRUE(experts.GuardsIntact());
  EXPECT_TRUE(weights.GuardsIntact());
  return {{experts.span().begin(), experts.span().end()}, {weights.span().begin(), weights.span().end()}};
}

TEST(FloatOpsRouter, AgreesWithTheReference) {
  Random random(301);
  struct Shape {
    int64_t tokens, num_experts, top;
  };
  for (const Shape& s : {Shape{20, 5, 5}, Shape{20, 17, 3}, Shape{30, 64, 8}, Shape{40, 512, 10}, Shape{9, 33, 1}}) {
    // Logits are shuffled multiples of 1/8 with gaps, so that no two experts are within rounding of each other.
    std::vector<float> logits;
    for (int64_t t = 0; t < s.tokens; ++t) {
      std::vector<float> row(Index(s.num_experts));
      for (size_t e = 0; e < row.size(); ++e) row[e] = static_cast<float>(e) / 8 - random.Uniform(0, 0.1) - 9;
      std::shuffle(row.begin(), row.end(), random.engine());
      logits.insert(logits.end(), row.begin(), row.end());
    }
    for (const bool normalize : {false, true}) {
      const Routing expected = Route(ReferenceKernels(), logits, s.num_experts, s.top, normalize);
      const double range = 2 * static_cast<double>(s.num_experts) / 8;  // the rounding of logit - maximum, twice
      const double relative = Gamma(range + static_cast<double>(s.num_experts + s.top) + 20);
      std::vector<double> bounds;
      for (const float w : expected.weights) bounds.push_back(relative * static_cast<double>(w) + 1e-37);
      for (const Kernels& ops : FloatOpsUnderTest()) {
        const Routing actual = Route(ops, logits, s.num_experts, s.top, normalize);
        EXPECT_EQ(actual.experts, expected.experts) << ops.name << " E " << s.num_experts;
        EXPECT_TRUE(ElementsWithin(actual.weights, expected.weights, bounds)) << ops.name << " E " << s.num_experts;
        for (const Grouping grouping : kOtherGroupings) {
          const Routing again = Route(ops, logits, s.num_experts, s.top, normalize, grouping);
          EXPECT_EQ(again.experts, actual.experts) << ops.name;
          EXPECT_TRUE(BitEqual<float>(again.weights, actual.weights)) << ops.name;
        }
        const Routing forced = Route(ops, logits, s.num_experts, s.top, normalize, Grouping::kWhole, &expected.experts);
        EXPECT_TRUE(BitEqual<float>(forced.weights, actual.weights)) << ops.name;
        EXPECT_EQ(forced.experts, expected.experts) << ops.name;
      }
    }
  }
}

TEST(FloatOpsRouter, TakesTheLowerIndexAmongEquals) {
  for (const Kernels& ops : FloatOpsUnderTest()) {
    std::vector<float> logits(50, -1.0f);
    for (const size_t e : {7u, 19u, 20u, 33u, 49u}) logits[e] = 2;
    logits[40] = 3;
    const Routing routing = Route(ops, logits, 50, 7, true);
    EXPECT_EQ(routing.experts, (std::vector<int32_t>{40, 7, 19, 20, 33, 49, 0})) << ops.name;
    const Routing equal = Route(ops, std::vector<float>(50, 0.25f), 50, 4, true);
    EXPECT_EQ(equal.experts, (std::vector<int32_t>{0, 1, 2, 3})) << ops.name;
    EXPECT_EQ(equal.weights, std::vector<float>(4, 0.25f)) << ops.name;
  }
}

TEST(FloatOpsRouter, NotANumberStillNamesExpertsThatExist) {
  for (const Kernels& ops : FloatOpsUnderTest()) {
    std::vector<float> logits(40, std::numeric_limits<float>::quiet_NaN());
    const Routing routing = Route(ops, logits, 20, 3, true);
    for (const int32_t e : routing.experts) EXPECT_TRUE(e >= 0 && e < 20) << ops.name << " " << e;
    for (const float w : routing.weights) EXPECT_TRUE(std::isnan(w)) << ops.name;
  }
}

TEST(FloatOpsCombineExperts, AgreesWithTheReference) {
  Random random(302);
  struct Shape {
    int64_t tokens, dim, top;
    bool shared;
  };
  for (const Shape& s :
       {Shape{5, 7, 1, true}, Shape{6, 65, 3, false}, Shape{4, 256, 5, true}, Shape{8, 2048, 10, true}}) {
    const int64_t floats = s.tokens * s.dim, slots_count = s.tokens * s.top;
    const std::vector<float> residual = random.Normal(floats), rows = random.Normal(slots_count * s.dim);
    const std::vector<float> weights = random.Uniform(slots_count, 0, 1), shared = random.Normal(floats);
    const std::vector<float> shared_gate = random.Normal(s.tokens, 3);
    std::vector<int64_t> slots(Index(slots_count));
    std::iota(slots.begin(), slots.end(), 0);
    std::shuffle(slots.begin(), slots.end(), random.engine());
    const auto make = [&](const float* base, float* out) {
      return CombineExpertsArgs{.residual = base,
                                .rows = rows.data(),
                                .slots = slots.data(),
                                .weights = weights.data(),
                                .shared = s.shared ? shared.data() : nullptr,
                                .shared_gate = s.shared ? shared_gate.data() : nullptr,
                                .out = out,
                                .dim = s.dim,
                                .top = s.top};
    };
    std::vector<float> expected(Index(floats));
    ReferenceKernels().combine_experts(make(residual.data(), expected.data()), {0, s.tokens});
    std::vector<double> bounds(expected.size());
    for (int64_t i = 0; i < floats; ++i) {
      const int64_t t = i / s.dim;
      double mass = std::abs(residual[Index(i)]) + (s.shared ? std::abs(shared[Index(i)]) : 0);
      for (int64_t j = t * s.top; j < (t + 1) * s.top; ++j) {
        mass += static_cast<double>(weights[Index(j)]) * std::abs(rows[Index(slots[Index(j)] * s.dim + i % s.dim)]);
      }
      bounds[Index(i)] = Gamma(static_cast<double>(s.top) + 10) * mass;
    }
    for (const Kernels& ops : FloatOpsUnderTest()) {
      Guarded<float> out(floats);
      ops.combine_experts(make(residual.data(), out.get()), {0, s.tokens});
      EXPECT_TRUE(ElementsWithin(out.span(), expected, bounds)) << ops.name << " dim " << s.dim;
      EXPECT_TRUE(out.GuardsIntact()) << ops.name;
      for (const Grouping grouping : kOtherGroupings) {
        std::vector<float> in_place = residual;
        ForRanges(grouping, s.tokens,
                  [&](Range range) { ops.combine_experts(make(in_place.data(), in_place.data()), range); });
        EXPECT_TRUE(BitEqual<float>(in_place, out.span())) << ops.name << " dim " << s.dim;
      }
    }
  }
}

}  // namespace
}  // namespace qnext
