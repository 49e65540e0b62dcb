// Comparators of the tests. They pass only if every value is finite and within the bound, and have tests of their own
// (tests/support/compare_test.cc): NaN, infinities, swapped signs and wrong lengths must fail.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>

namespace qnext {

// ‖actual − expected‖ / ‖expected‖ over whole tensors <= limit.
inline ::testing::AssertionResult RelativeErrorWithin(std::span<const float> actual, std::span<const float> expected,
                                                      double limit) {
  if (actual.size() != expected.size()) {
    return ::testing::AssertionFailure() << "lengths differ: " << actual.size() << " and " << expected.size();
  }
  double difference = 0, norm = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    if (!std::isfinite(actual[i]) || !std::isfinite(expected[i])) {
      return ::testing::AssertionFailure()
             << "not finite at " << i << ": " << actual[i] << ", expected " << expected[i];
    }
    const double d = static_cast<double>(actual[i]) - static_cast<double>(expected[i]);
    difference += d * d;
    norm += static_cast<double>(expected[i]) * static_cast<double>(expected[i]);
  }
  const double error = norm > 0 ? std::sqrt(difference / norm) : std::sqrt(difference);
  if (error <= limit) return ::testing::AssertionSuccess() << "relative error " << error;
  return ::testing::AssertionFailure() << "relative error " << error << " exceeds " << limit;
}

// |actual[i] − expected[i]| <= bound[i] for every i.
inline ::testing::AssertionResult ElementsWithin(std::span<const float> actual, std::span<const float> expected,
                                                 std::span<const double> bound) {
  if (actual.size() != expected.size() || actual.size() != bound.size()) {
    return ::testing::AssertionFailure() << "lengths differ: " << actual.size() << ", " << expected.size()
                                         << ", bounds " << bound.size();
  }
  size_t violations = 0, worst = 0;
  double worst_ratio = -1;
  for (size_t i = 0; i < actual.size(); ++i) {
    const double d = std::abs(static_cast<double>(actual[i]) - static_cast<double>(expected[i]));
    const bool within = std::isfinite(actual[i]) && std::isfinite(expected[i]) && d <= bound[i];
    if (within) continue;
    ++violations;
    const double ratio = std::isfinite(d) ? d / std::max(bound[i], 1e-300) : INFINITY;
    if (ratio > worst_ratio) worst_ratio = ratio, worst = i;
  }
  if (violations == 0) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << violations << " of " << actual.size() << " outside; worst at " << worst
                                       << ": " << actual[worst] << ", expected " << expected[worst] << " ± "
                                       << bound[worst];
}

}  // namespace qnext
