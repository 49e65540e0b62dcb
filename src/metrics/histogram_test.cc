#include "metrics/histogram.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace qnext {
namespace {

TEST(HistogramTest, EmptyIsAllZero) {
  const Histogram histogram;
  EXPECT_EQ(histogram.count(), 0);
  EXPECT_EQ(histogram.Percentile(0.5), 0);
  EXPECT_EQ(histogram.Mean(), 0);
  EXPECT_EQ(histogram.StandardDeviation(), 0);
}

TEST(HistogramTest, ExactFiguresAreExact) {
  Histogram histogram;
  for (double value : {2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0}) histogram.Add(value);
  EXPECT_EQ(histogram.count(), 8);
  EXPECT_DOUBLE_EQ(histogram.Mean(), 5);
  EXPECT_DOUBLE_EQ(histogram.StandardDeviation(), 2);
  EXPECT_DOUBLE_EQ(histogram.min(), 2);
  EXPECT_DOUBLE_EQ(histogram.max(), 9);
}

TEST(HistogramTest, PercentilesOfAnEvenSpreadAreWithinABucket) {
  Histogram histogram;
  for (int i = 1; i <= 10000; ++i) histogram.Add(i * 1e-3);
  for (double fraction : {0.01, 0.25, 0.5, 0.9, 0.95, 0.99}) {
    EXPECT_NEAR(histogram.Percentile(fraction), fraction * 10, fraction * 10 * 0.02) << fraction;
  }
  EXPECT_DOUBLE_EQ(histogram.Percentile(0), 1e-3);
  EXPECT_DOUBLE_EQ(histogram.Percentile(1), 10);
}

TEST(HistogramTest, PercentilesStayBetweenMinimumAndMaximum) {
  Histogram histogram;
  histogram.Add(3);
  EXPECT_DOUBLE_EQ(histogram.Percentile(0.01), 3);
  EXPECT_DOUBLE_EQ(histogram.Percentile(0.99), 3);
}

TEST(HistogramTest, EveryValueFallsIntoTheBucketOfItsBounds) {
  for (int bucket = 1; bucket < Histogram::kBuckets; ++bucket) {
    Histogram at_bound, above_bound;
    at_bound.Add(Histogram::UpperBound(bucket));
    EXPECT_EQ(at_bound.bucket_count(bucket), 1) << bucket;
    above_bound.Add(std::nextafter(Histogram::UpperBound(bucket - 1), 1e9));
    EXPECT_EQ(above_bound.bucket_count(bucket), 1) << bucket;
  }
}

TEST(HistogramTest, OutliersCountAtTheEndsAndNaNNowhere) {
  Histogram histogram;
  histogram.Add(0);
  histogram.Add(-1);
  histogram.Add(1e9);
  histogram.Add(std::numeric_limits<double>::infinity());
  histogram.Add(std::numeric_limits<double>::quiet_NaN());
  EXPECT_EQ(histogram.count(), 4);
  EXPECT_EQ(histogram.bucket_count(0), 2);
  EXPECT_EQ(histogram.bucket_count(Histogram::kBuckets - 1), 2);
  EXPECT_EQ(histogram.min(), -1);
}

TEST(HistogramTest, MergeEqualsAddingAll) {
  Histogram all, left, right;
  for (int i = 1; i <= 100; ++i) {
    all.Add(i);
    (i % 3 == 0 ? left : right).Add(i);
  }
  left.Merge(right);
  left.Merge(Histogram());
  EXPECT_EQ(left.count(), all.count());
  EXPECT_DOUBLE_EQ(left.sum(), all.sum());
  EXPECT_DOUBLE_EQ(left.min(), 1);
  EXPECT_DOUBLE_EQ(left.max(), 100);
  EXPECT_DOUBLE_EQ(left.Percentile(0.95), all.Percentile(0.95));
  EXPECT_DOUBLE_EQ(left.StandardDeviation(), all.StandardDeviation());
}

}  // namespace
}  // namespace qnext
