#include "base/clip.h"

#include <gtest/gtest.h>

namespace qnext {
namespace {

TEST(Clip, CutsBetweenCharacters) {
  EXPECT_EQ(Clip("short"), "short");
  EXPECT_EQ(Clip(std::string(80, 'x')), std::string(80, 'x'));
  EXPECT_EQ(Clip(std::string(1 << 20, 'x')), std::string(80, 'x') + "...");
  EXPECT_EQ(Clip("ab\u00e9\u00e9", 3), "ab...");
  EXPECT_EQ(Clip("ab\u00e9\u00e9", 4), "ab\u00e9...");
}

}  // namespace
}  // namespace qnext
