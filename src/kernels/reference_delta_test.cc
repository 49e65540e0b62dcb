// The two reference forms of the gated delta rule: by hand, and against each other.
#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "compare.h"
#include "kernels/delta_test_util.h"

namespace qnext {
namespace {

using namespace kernels_test;  // NOLINT: the helpers of this folder's tests

const Kernels& kOps = ReferenceKernels();

TEST(ReferenceDelta, TwoStepsByHand) {
  // S = 2, k = q = the first axis (long enough that the 1e-6 of the norm does not show).
  const std::array<float, 12> qkv = {1e4f, 0, 1e4f, 0, 3, 5, 2e4f, 0, 3e4f, 0, 1, 1};
  const std::array<float, 2> g = {0, -std::log(2.0f)}, beta = {0.5f, 1};
  for (const DeltaForm form : kDeltaForms) {
    std::array<float, 4> state = {0, 0, 8, 16};
    std::array<float, 4> out = {};
    std::vector<float> scratch(100000);
    RunDelta(kOps, form,
             {.qkv = qkv.data(),
              .g = g.data(),
              .beta = beta.data(),
              .state = state.data(),
              .out = out.data(),
              .scratch = scratch.data(),
              .tokens = 2,
              .key_heads = 1,
              .value_heads = 1,
              .head_dim = 2});
    const float root = std::sqrt(2.0f);
    // Step 1: M's first row = 0.5 * (3, 5). Step 2: M halves; v - Mᵀk = (0.25, -0.25); the first row becomes (1, 1).
    EXPECT_FLOAT_EQ(out[0], 1.5f / root) << DeltaFormName(form);
    EXPECT_FLOAT_EQ(out[1], 2.5f / root) << DeltaFormName(form);
    EXPECT_FLOAT_EQ(out[2], 1 / root) << DeltaFormName(form);
    EXPECT_FLOAT_EQ(out[3], 1 / root) << DeltaFormName(form);
    EXPECT_FLOAT_EQ(state[0], 1) << DeltaFormName(form);
    EXPECT_FLOAT_EQ(state[1], 1) << DeltaFormName(form);
    EXPECT_FLOAT_EQ(state[2], 4) << DeltaFormName(form);
    EXPECT_FLOAT_EQ(state[3], 8) << DeltaFormName(form);
  }
}

TEST(ReferenceDelta, ValueHeadsShareTheirKeyHead) {
  // K = 2, H = 4, S = 1: value head h uses key head h / 2; q = +-1, k = +-1 after normalisation.
  const std::array<float, 8> qkv = {1e4f, -1e4f, 1e4f, 1e4f, 1, 2, 3, 4};
  const std::array<float, 4> g = {}, beta = {1, 1, 1, 1};
  for (const DeltaForm form : kDeltaForms) {
    std::array<float, 4> state = {}, out = {};
    std::vector<float> scratch(100000);
    RunDelta(kOps, form,
             {.qkv = qkv.data(),
              .g = g.data(),
              .beta = beta.data(),
              .state = state.data(),
              .out = out.data(),
              .scratch = scratch.data(),
              .tokens = 1,
              .key_heads = 2,
              .value_heads = 4,
              .head_dim = 1});
    for (size_t h = 0; h < 4; ++h) {
      EXPECT_FLOAT_EQ(out[h], static_cast<float>(h + 1) * (h < 2 ? 1.0f : -1.0f)) << DeltaFormName(form);
    }
  }
}

TEST(ReferenceDelta, AFullWriteIsReadBackAndNoWriteOnlyDecays) {
  // beta = 1 and q = k: o is v / sqrt(S) whatever the state was. beta = 0: M only decays.
  const DeltaShape shape = {.tokens = 1, .key_heads = 1, .value_heads = 1, .head_dim = 8};
  DeltaProblem p(shape, Decay::kMixed, 6);
  for (size_t i = 0; i < 8; ++i) p.qkv[i] = p.qkv[8 + i] *= 1e3f;
  for (const DeltaForm form : kDeltaForms) {
    std::vector<float> state = p.state, out(8), scratch(100000);
    p.beta[0] = 1;
    RunDelta(kOps, form, p.Args(0, 1, state.data(), out.data(), scratch.data()));
    for (size_t i = 0; i < 8; ++i) EXPECT_NEAR(out[i], p.qkv[16 + i] / std::sqrt(8.0f), 1e-6) << DeltaFormName(form);
    state = p.state;
    p.beta[0] = 0;
    RunDelta(kOps, form, p.Args(0, 1, state.data(), out.data(), scratch.data()));
    for (size_t i = 0; i < 64; ++i) EXPECT_FLOAT_EQ(state[i], std::exp(p.gates[0]) * p.state[i]) << DeltaFormName(form);
  }
}

TEST(ReferenceDelta, ChunkedEqualsRecurrent) {
  uint32_t seed = 7;
  for (const int64_t tokens : {1, 2, 63, 64, 65, 130}) {
    for (const Decay decay : {Decay::kSlow, Decay::kMixed, Decay::kExtreme}) {
      const DeltaProblem p({.tokens = tokens, .key_heads = 1, .value_heads = 2, .head_dim = 24}, decay, ++seed);
      std::vector<float> recurrent_state = p.state, chunked_state = p.state;
      std::vector<float> recurrent(Index(p.out_floats())), chunked(Index(p.out_floats()));
      RunDelta(kOps, DeltaForm::kRecurrent, p.Args(0, tokens, recurrent_state.data(), recurrent.data(), nullptr));
      RunDelta(kOps, DeltaForm::kChunked, p.Args(0, tokens, chunked_state.data(), chunked.data(), nullptr));
      // Both are float64 inside; the recurrence rounds M to float32 at each step, which the rule never amplifies.
      EXPECT_TRUE(RelativeErrorWithin(chunked, recurrent, 2 * std::sqrt(static_cast<double>(tokens)) * kUnit))
          << p.shape;
      EXPECT_TRUE(
          RelativeErrorWithin(chunked_state, recurrent_state, 2 * std::sqrt(static_cast<double>(tokens)) * kUnit))
          << p.shape;
    }
  }
}

TEST(ReferenceDelta, StateCarriesOverSplitCalls) {
  constexpr int64_t kTokens = 70;
  const DeltaProblem p({.tokens = kTokens, .key_heads = 1, .value_heads = 1, .head_dim = 16}, Decay::kMixed, 40);
  for (const DeltaForm form : kDeltaForms) {
    std::vector<float> state = p.state, out(Index(p.out_floats()));
    RunDelta(kOps, form, p.Args(0, kTokens, state.data(), out.data(), nullptr));
    for (const int64_t split : {1, 3, 64, 69}) {
      std::vector<float> split_state = p.state, split_out(Index(p.out_floats()));
      RunDelta(kOps, form, p.Args(0, split, split_state.data(), split_out.data(), nullptr));
      RunDelta(kOps, form, p.Args(split, kTokens - split, split_state.data(), split_out.data(), nullptr));
      if (form == DeltaForm::kRecurrent) {
        EXPECT_TRUE(BitEqual<float>(split_out, out)) << split;
        EXPECT_TRUE(BitEqual<float>(split_state, state)) << split;
      }
      EXPECT_TRUE(RelativeErrorWithin(split_out, out, 4 * kUnit)) << DeltaFormName(form) << " " << split;
      EXPECT_TRUE(RelativeErrorWithin(split_state, state, 4 * kUnit)) << DeltaFormName(form) << " " << split;
    }
  }
}

}  // namespace
}  // namespace qnext
