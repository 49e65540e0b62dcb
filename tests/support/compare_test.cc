// The comparators must fail on what a careless comparison lets pass.
#include "compare.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

namespace qnext {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();
using Floats = std::vector<float>;
using Doubles = std::vector<double>;

TEST(RelativeErrorWithin, MeasuresOverTheWholeTensor) {
  EXPECT_TRUE(RelativeErrorWithin(Floats{3, 4}, Floats{3, 4}, 0));
  EXPECT_TRUE(RelativeErrorWithin(Floats{3, 4.5f}, Floats{3, 4}, 0.1));  // 0.5 / 5
  EXPECT_FALSE(RelativeErrorWithin(Floats{3, 4.5f}, Floats{3, 4}, 0.0999));
  EXPECT_TRUE(RelativeErrorWithin(Floats{}, Floats{}, 0));
  EXPECT_TRUE(RelativeErrorWithin(Floats{0, 0}, Floats{0, 0}, 0));
  EXPECT_FALSE(RelativeErrorWithin(Floats{0, 1}, Floats{0, 0}, 0.5)) << "absolute where the expected norm is 0";
}

TEST(RelativeErrorWithin, NotFiniteFails) {
  for (const float bad : {kNan, kInfinity, -kInfinity}) {
    EXPECT_FALSE(RelativeErrorWithin(Floats{1, bad}, Floats{1, 2}, 1e30));
    EXPECT_FALSE(RelativeErrorWithin(Floats{1, 2}, Floats{1, bad}, 1e30));
    EXPECT_FALSE(RelativeErrorWithin(Floats{1, bad}, Floats{1, bad}, 1e30)) << "not even where it is expected";
  }
}

TEST(RelativeErrorWithin, SignsOrderAndLengthsMatter) {
  EXPECT_FALSE(RelativeErrorWithin(Floats{-1, -2}, Floats{1, 2}, 1.5));
  EXPECT_FALSE(RelativeErrorWithin(Floats{-2, -4}, Floats{-1, -2}, 0.5)) << "both negative, off by a factor of 2";
  EXPECT_FALSE(RelativeErrorWithin(Floats{2, 1}, Floats{1, 2}, 0.1));
  EXPECT_FALSE(RelativeErrorWithin(Floats{1}, Floats{1, 0}, 1e30));
  EXPECT_FALSE(RelativeErrorWithin(Floats{1, 0}, Floats{1}, 1e30));
  EXPECT_FALSE(RelativeErrorWithin(Floats{}, Floats{1}, 1e30));
  EXPECT_FALSE(RelativeErrorWithin(Floats{1}, Floats{1}, kNan)) << "a limit that is no number allows nothing";
}

TEST(ElementsWithin, HoldsEveryElementToItsOwnBound) {
  EXPECT_TRUE(ElementsWithin(Floats{1, -2}, Floats{1, -2}, Doubles{0, 0}));
  EXPECT_TRUE(ElementsWithin(Floats{1.5f, -2}, Floats{1, -2}, Doubles{0.5, 0}));
  EXPECT_FALSE(ElementsWithin(Floats{1.5f, -2}, Floats{1, -2}, Doubles{0.499, 100}));
  EXPECT_FALSE(ElementsWithin(Floats{0.5f, -2}, Floats{1, -2}, Doubles{0.499, 100})) << "below as well as above";
  EXPECT_TRUE(ElementsWithin(Floats{}, Floats{}, Doubles{}));
}

TEST(ElementsWithin, NotFiniteFails) {
  for (const float bad : {kNan, kInfinity, -kInfinity}) {
    EXPECT_FALSE(ElementsWithin(Floats{1, bad}, Floats{1, 2}, Doubles{1e30, 1e30}));
    EXPECT_FALSE(ElementsWithin(Floats{1, 2}, Floats{1, bad}, Doubles{1e30, 1e30}));
    EXPECT_FALSE(ElementsWithin(Floats{1, bad}, Floats{1, bad}, Doubles{1e30, 1e30}));
    EXPECT_FALSE(ElementsWithin(Floats{1, bad}, Floats{1, 2}, Doubles{1, INFINITY}));
  }
  EXPECT_FALSE(ElementsWithin(Floats{1}, Floats{1}, Doubles{static_cast<double>(kNan)}));
}

TEST(ElementsWithin, SignsOrderAndLengthsMatter) {
  EXPECT_FALSE(ElementsWithin(Floats{-1}, Floats{1}, Doubles{1.9}));
  EXPECT_FALSE(ElementsWithin(Floats{-2}, Floats{-1}, Doubles{0.5}));
  EXPECT_FALSE(ElementsWithin(Floats{2, 1}, Floats{1, 2}, Doubles{0.5, 0.5}));
  EXPECT_FALSE(ElementsWithin(Floats{1}, Floats{1, 2}, Doubles{1, 1}));
  EXPECT_FALSE(ElementsWithin(Floats{1, 2}, Floats{1, 2}, Doubles{1}));
  EXPECT_FALSE(ElementsWithin(Floats{}, Floats{1}, Doubles{1}));
}

TEST(ElementsWithin, NamesTheWorst) {
  const ::testing::AssertionResult result =
      ElementsWithin(Floats{1.1f, 9, 1}, Floats{1, 1, 1}, Doubles{0.01, 0.01, 0.01});
  EXPECT_NE(std::string(result.message()).find("2 of 3 outside; worst at 1"), std::string::npos) << result.message();
}

}  // namespace
}  // namespace qnext
