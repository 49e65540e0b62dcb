#include "bench/statistics.h"

#include <gtest/gtest.h>

namespace qnext {
namespace {

TEST(SpreadTest, OfHandComputedSamples) {
  const Spread spread = SpreadOf({4, 1, 10, 3});
  EXPECT_EQ(spread.samples, 4);
  EXPECT_DOUBLE_EQ(spread.median, 3.5);
  EXPECT_DOUBLE_EQ(spread.min, 1);
  EXPECT_DOUBLE_EQ(spread.max, 10);
  EXPECT_DOUBLE_EQ(spread.mean, 4.5);
}

TEST(SpreadTest, OfNothing) { EXPECT_EQ(SpreadOf({}).samples, 0); }

}  // namespace
}  // namespace qnext
