// The vectorised convolution against the reference.
#include <gtest/gtest.h>

#include <cmath>

#include "compare.h"
#include "kernels/kernels_test_util.h"

namespace qnext {
namespace {

using namespace kernels_test;  // NOLINT: the helpers of this folder's tests

struct Shape {
  int64_t tokens, key_heads, value_heads, head_dim;

  int64_t channels() const { return (2 * key_heads + value_heads) * head_dim; }
  int64_t width() const { return channels() + value_heads * head_dim; }
};

struct Problem {
  Problem(const Shape& s, uint32_t seed) : shape(s) {
    Random random(seed);
    qkvz = random.Normal(s.tokens * s.width()), weight = random.Normal(s.channels() * 4);
    history = random.Normal(3 * s.channels());
  }
  ConvSiluArgs Args(int64_t first, int64_t count, float* past, float* out) const {
    return {.qkvz = qkvz.data() + first * shape.width(),
            .weight = weight.data(),
            .history = past,
            .out = out + first * shape.channels(),
            .tokens = count,
            .key_heads = shape.key_heads,
            .value_heads = shape.value_heads,
            .head_dim = shape.head_dim};
  }

  Shape shape;
  std::vector<float> qkvz, weight, history;
};

TEST(FloatOpsConvSilu, AgreesWithTheReference) {
  uint32_t seed = 200;
  for (const Shape& s :
       {Shape{1, 1, 1, 8}, Shape{2, 3, 3, 33}, Shape{3, 1, 5, 20}, Shape{67, 2, 4, 48}, Shape{5, 16, 32, 128}}) {
    const Problem p(s, ++seed);
    std::vector<float> expected_history = p.history, expected(Index(s.tokens * s.channels()));
    ReferenceKernels().conv_silu(p.Args(0, s.tokens, expected_history.data(), expected.data()), {0, s.channels()});
    // The same with absolute values bounds the sum of |w||x|; |silu'| < 1.1.
    Problem absolute = p;
    for (auto* values : {&absolute.qkvz, &absolute.weight, &absolute.history}) {
      for (float& x : *values) x = std::abs(x);
    }
    std::vector<float> mass(expected.size());
    ReferenceKernels().conv_silu(absolute.Args(0, s.tokens, absolute.history.data(), mass.data()), {0, s.channels()});
    std::vector<double> bounds;
    for (size_t i = 0; i < expected.size(); ++i) {
      // silu(x) >= x / 2 for x >= 0, so that twice the output bounds the sum.
      bounds.push_back(1.1 * Gamma(5) * 2 * static_cast<double>(mass[i]) + Gamma(7) * std::abs(expected[i]) + 1e-36);
    }
    for (const Kernels& ops : FloatOpsUnderTest()) {
      for (const Grouping grouping : {Grouping::kWhole, Grouping::kSinglesBackwards, Grouping::kRagged}) {
        Guarded<float> out(s.tokens * s.channels()), history(p.history);
        const ConvSiluArgs args = p.Args(0, s.tokens, history.get(), out.get());
        ForRanges(grouping, s.channels(), [&](Range channels) { ops.conv_silu(args, channels); });
        EXPECT_TRUE(ElementsWithin(out.span(), expected, bounds)) << ops.name << " S " << s.head_dim;
        EXPECT_TRUE(BitEqual<float>(history.span(), expected_history)) << ops.name << " S " << s.head_dim;
        EXPECT_TRUE(out.GuardsIntact());
        EXPECT_TRUE(history.GuardsIntact());
        if (grouping == Grouping::kWhole) continue;
        std::vector<float> whole(expected.size()), past = p.history;
        ops.conv_silu(p.Args(0, s.tokens, past.data(), whole.data()), {0, s.channels()});
        EXPECT_TRUE(BitEqual<float>(out.span(), whole)) << ops.name << " S " << s.head_dim;
      }
    }
  }
}

TEST(FloatOpsConvSilu, SplitAtEveryPointEqualsOneShot) {
  const Shape s = {9, 2, 4, 20};
  const Problem p(s, 210);
  for (const Kernels& ops : FloatOpsUnderTest()) {
    std::vector<float> expected_history = p.history, expected(Index(s.tokens * s.channels()));
    ops.conv_silu(p.Args(0, s.tokens, expected_history.data(), expected.data()), {0, s.channels()});
    for (int64_t split = 1; split < s.tokens; ++split) {
      std::vector<float> history = p.history, out(expected.size());
      ops.conv_silu(p.Args(0, split, history.data(), out.data()), {0, s.channels()});
      ops.conv_silu(p.Args(split, s.tokens - split, history.data(), out.data()), {0, s.channels()});
      EXPECT_TRUE(BitEqual<float>(out, expected)) << ops.name << " split " << split;
      EXPECT_TRUE(BitEqual<float>(history, expected_history)) << ops.name << " split " << split;
    }
  }
}

}  // namespace
}  // namespace qnext
