#include "bench/windows.h"

#include <gtest/gtest.h>

namespace qnext {
namespace {

std::vector<double> Evenly(int tokens, double gap) { return std::vector<double>(static_cast<size_t>(tokens), gap); }

TEST(SlowestWindowTest, AnEvenPaceIsThatPace) {
  const SlowestWindow window = FindSlowestWindow(Evenly(300, 0.1), 10);
  EXPECT_NEAR(window.tokens_per_second, 10, 1e-9);
  EXPECT_DOUBLE_EQ(window.seconds, 10);
}

TEST(SlowestWindowTest, WhatIsShorterCountsWhole) {
  const SlowestWindow window = FindSlowestWindow(Evenly(30, 0.1), 10);
  EXPECT_NEAR(window.tokens_per_second, 10, 1e-9);
  EXPECT_NEAR(window.seconds, 3, 1e-9);
}

TEST(SlowestWindowTest, NothingHasNoSpeed) {
  EXPECT_DOUBLE_EQ(FindSlowestWindow({}, 10).tokens_per_second, 0);
  EXPECT_DOUBLE_EQ(FindSlowestWindow({0, 0}, 10).tokens_per_second, 0);
}

// A stall of 4 s in the middle, 10 tokens a second before and after: 60 tokens and the stall's one in its 10 s.
TEST(SlowestWindowTest, AStallIsInTheWindow) {
  std::vector<double> gaps = Evenly(301, 0.1);
  gaps[150] = 4;
  EXPECT_NEAR(FindSlowestWindow(gaps, 10).tokens_per_second, 6.1, 1e-9);
}

// The stall is longer than the window: what there is of a token within it.
TEST(SlowestWindowTest, AStallLongerThanTheWindow) {
  std::vector<double> gaps = Evenly(100, 0.1);
  gaps[50] = 40;
  EXPECT_NEAR(FindSlowestWindow(gaps, 10).tokens_per_second, 0.25 / 10, 1e-9);
}

TEST(SlowestWindowTest, ItMayLieAtTheBeginningOrTheEnd) {
  std::vector<double> gaps = Evenly(200, 0.1);
  gaps.insert(gaps.begin(), 50, 0.2);  // the first 10 s at 5 a second
  EXPECT_NEAR(FindSlowestWindow(gaps, 10).tokens_per_second, 5, 1e-9);
  gaps.insert(gaps.end(), 40, 0.25);  // the last 10 s at 4 a second
  EXPECT_NEAR(FindSlowestWindow(gaps, 10).tokens_per_second, 4, 1e-9);
}

}  // namespace
}  // namespace qnext
