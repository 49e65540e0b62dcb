#include "engine/random.h"

#include <gtest/gtest.h>

#include <set>

namespace qnext {
namespace {

// The vectors that the authors publish with their implementation.
TEST(PhiloxTest, PublishedAnswers) {
  EXPECT_EQ(Philox4x32({0, 0, 0, 0}, {0, 0}), (PhiloxBlock{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(Philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (PhiloxBlock{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(Philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (PhiloxBlock{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(UniformAtTest, EveryArgumentMatters) {
  const uint64_t high = uint64_t{1} << 40;
  const std::set<double> values = {UniformAt(0, 0, 0),   UniformAt(1, 0, 0),    UniformAt(0, 1, 0),
                                   UniformAt(0, 0, 1),   UniformAt(high, 0, 0), UniformAt(0, high, 0),
                                   UniformAt(0, 0, high)};
  EXPECT_EQ(values.size(), 7u);
  EXPECT_EQ(UniformAt(7, 8, 9), UniformAt(7, 8, 9));
}

TEST(UniformAtTest, IsUniformOverTheUnitInterval) {
  constexpr int kCells = 20, kDraws = 100000;
  int counts[kCells] = {};
  for (uint64_t i = 0; i < kDraws; ++i) {
    const double u = UniformAt(/*seed=*/42, /*stream=*/0, i);
    ASSERT_GE(u, 0);
    ASSERT_LT(u, 1);
    ++counts[static_cast<int>(u * kCells)];
  }
  double chi_square = 0;
  for (int count : counts) {
    const double expected = double{kDraws} / kCells;
    chi_square += (count - expected) * (count - expected) / expected;
  }
  EXPECT_LT(chi_square, 43.8);  // 19 degrees of freedom, p = 0.001
}

}  // namespace
}  // namespace qnext
