#include "base/status.h"

#include <gtest/gtest.h>

#include <memory>

namespace qnext {
namespace {

Result<int> Half(int x) {
  if (x % 2 != 0) return InvalidArgument("odd");
  return x / 2;
}

Result<int> Quarter(int x) {
  QNEXT_ASSIGN_OR_RETURN(const int half, Half(x));
  return Half(half);
}

TEST(Status, CarriesCodeAndContext) {
  EXPECT_TRUE(Status().ok());
  EXPECT_TRUE(Status().WithContext("file").ok());
  const Status status = Corrupt("too short").WithContext("header").WithContext("a.safetensors");
  EXPECT_EQ(status.code(), StatusCode::kCorrupt);
  EXPECT_EQ(status.message(), "a.safetensors: header: too short");
}

TEST(Status, ResultPassesValuesAndErrors) {
  EXPECT_EQ(Quarter(8).value(), 2);
  EXPECT_EQ(Quarter(6).status().message(), "odd");
  Result<std::unique_ptr<int>> moved = std::make_unique<int>(7);
  EXPECT_EQ(*std::move(moved).value(), 7);
}

TEST(StatusDeathTest, ValueOfAnErrorAborts) { EXPECT_DEATH((void)Half(1).value(), "failed Result"); }

}  // namespace
}  // namespace qnext
