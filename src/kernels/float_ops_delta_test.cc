// The vectorised gated delta rule, both forms, against the reference recurrence.
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "compare.h"
#include "kernels/delta_test_util.h"

namespace qnext {
namespace {

using namespace kernels_test;  // NOLINT: the helpers of this folder's tests

struct DeltaResult {
  std::vector<float> out, state;
};

DeltaResult RunGuarded(const Kernels& ops, DeltaForm form, const DeltaProblem& p,
                       Grouping grouping = Grouping::kWhole) {
  Guarded<float> out(p.out_floats()), state(p.state);
  const DeltaArgs sizes = p.Args(0, p.shape.tokens, nullptr, out.get(), nullptr);
  Guarded<float> scratch(sizes.scratch_floats());  // begins as NaN: what was not written must not be read
  RunDelta(ops, form, p.Args(0, p.shape.tokens, state.get(), out.get(), scratch.get()), grouping);
  EXPECT_TRUE(out.GuardsIntact()) << p.shape;
  EXPECT_TRUE(state.GuardsIntact()) << p.shape;
  EXPECT_TRUE(scratch.GuardsIntact()) << p.shape;
  return {{out.span().begin(), out.span().end()}, {state.span().begin(), state.span().end()}};
}

// The whole-tensor limit of docs/numerics.md: roundings add up like a random walk.
double TypicalError(const DeltaShape& s) {
  return 2 * std::sqrt(static_cast<double>(s.head_dim + kDeltaChunk + s.tokens)) * kUnit;
}

void ExpectAgree(const DeltaShape& shape, Decay decay, uint32_t seed) {
  const DeltaProblem p(shape, decay, seed);
  const DeltaResult expected = RunGuarded(ReferenceKernels(), DeltaForm::kRecurrent, p);
  const DeltaBounds bounds = DeltaErrorBounds(p);
  for (const Kernels& ops : FloatOpsUnderTest()) {
    for (const DeltaForm form : kDeltaForms) {
      SCOPED_TRACE(::testing::Message() << ops.name << " " << DeltaFormName(form) << " " << shape << " decay "
                                        << static_cast<int>(decay) << " seed " << seed);
      const DeltaResult actual = RunGuarded(ops, form, p);
      EXPECT_TRUE(ElementsWithin(actual.out, expected.out, bounds.out));
      EXPECT_TRUE(ElementsWithin(actual.state, expected.state, bounds.state));
      EXPECT_TRUE(RelativeErrorWithin(actual.out, expected.out, TypicalError(shape)));
      EXPECT_TRUE(RelativeErrorWithin(actual.state, expected.state, TypicalError(shape)));
      for (const Grouping grouping : kOtherGroupings) {
        const DeltaResult again = RunGuarded(ops, form, p, grouping);
        EXPECT_TRUE(BitEqual<float>(again.out, actual.out));
        EXPECT_TRUE(BitEqual<float>(again.state, actual.state));
      }
    }
  }
}

TEST(FloatOpsDelta, RaggedShapes) {
  uint32_t seed = 400;
  const int64_t head_dims[] = {32, 33, 48, 72, 100, 128};
  for (const int64_t tokens : {1, 2, 3, 7, 15, 16, 17, 31, 33, 63, 64, 65, 79, 127, 128, 129, 130}) {
    for (const Decay decay : {Decay::kSlow, Decay::kMixed, Decay::kExtreme}) {
      const int64_t key_heads = 1 + seed % 3, ratio = key_heads == 3 ? 1 : 2;
      ExpectAgree(
          {.tokens = tokens, .key_heads = key_heads, .value_heads = key_heads * ratio, .head_dim = head_dims[seed % 6]},
          decay, seed);
      ++seed;
    }
  }
}

TEST(FloatOpsDelta, ManyValueHeadsPerKeyHead) {
  ExpectAgree({.tokens = 70, .key_heads = 1, .value_heads = 5, .head_dim = 40}, Decay::kMixed, 460);
}

TEST(FloatOpsDelta, RealShape) {
  ExpectAgree({.tokens = 66, .key_heads = 16, .value_heads = 32, .head_dim = 128}, Decay::kMixed, 461);
}

TEST(FloatOpsDelta, ManyDecaysOfTwentyWithinAChunk) {
  // Cumulative sums far below what float32 can exponentiate, everywhere: only the newest token counts.
  DeltaProblem p({.tokens = 130, .key_heads = 1, .value_heads = 2, .head_dim = 64}, Decay::kMixed, 462);
  for (float& g : p.gates) g = -23.5f;  // -1504 over 64 tokens
  const DeltaResult expected = RunGuarded(ReferenceKernels(), DeltaForm::kRecurrent, p);
  for (const Kernels& ops : FloatOpsUnderTest()) {
    for (const DeltaForm form : kDeltaForms) {
      const DeltaResult actual = RunGuarded(ops, form, p);
      EXPECT_TRUE(RelativeErrorWithin(actual.out, expected.out, TypicalError(p.shape))) << ops.name;
      EXPECT_TRUE(RelativeErrorWithin(actual.state, expected.state, TypicalError(p.shape))) << ops.name;
    }
  }
}

TEST(FloatOpsDelta, StateCarriesOverSplitCalls) {
  constexpr int64_t kTokens = 130;
  const DeltaProblem p({.tokens = kTokens, .key_heads = 2, .value_heads = 4, .head_dim = 48}, Decay::kSlow, 463);
  for (const Kernels& ops : FloatOpsUnderTest()) {
    for (const DeltaForm form : kDeltaForms) {
      const DeltaResult whole = RunGuarded(ops, form, p);
      for (const int64_t split : {1, 63, 64, 65, 128, 129}) {
        SCOPED_TRACE(::testing::Message() << ops.name << " " << DeltaFormName(form) << " split " << split);
        std::vector<float> state = p.state, out(whole.out.size());
        std::vector<float> scratch(Index(p.Args(0, 1, nullptr, out.data(), nullptr).scratch_floats()));
        RunDelta(ops, form, p.Args(0, split, state.data(), out.data(), scratch.data()));
        RunDelta(ops, form, p.Args(split, kTokens - split, state.data(), out.data(), scratch.data()));
        // The recurrence is the same steps; chunks may fall elsewhere, and are then another schedule of the same sums.
        if (form == DeltaForm::kRecurrent || split % kDeltaChunk == 0) {
          EXPECT_TRUE(BitEqual<float>(out, whole.out));
          EXPECT_TRUE(BitEqual<float>(state, whole.state));
        }
        EXPECT_TRUE(RelativeErrorWithin(out, whole.out, TypicalError(p.shape)));
        EXPECT_TRUE(RelativeErrorWithin(state, whole.state, TypicalError(p.shape)));
      }
    }
  }
}

}  // namespace
}  // namespace qnext
