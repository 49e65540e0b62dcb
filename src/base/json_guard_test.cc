#include "base/json_guard.h"

#include <gtest/gtest.h>

#include <string>

namespace qnext {
namespace {

TEST(JsonGuard, AcceptsWhatStaysWithinTheLimits) {
  EXPECT_TRUE(CheckJsonLimits("").ok());
  EXPECT_TRUE(CheckJsonLimits(R"({"a": [1, {"b": []}]})", {.max_bytes = 100, .max_depth = 4}).ok());
  EXPECT_TRUE(CheckJsonLimits("[[],[],[],[]]", {.max_bytes = 100, .max_depth = 2}).ok()) << "siblings do not nest";
}

TEST(JsonGuard, RefusesDepthAndSize) {
  EXPECT_EQ(CheckJsonLimits("[[[]]]", {.max_bytes = 100, .max_depth = 2}).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(CheckJsonLimits("{\"a\":{\"b\":{}}}", {.max_bytes = 100, .max_depth = 2}).code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(CheckJsonLimits("[1, 2]", {.max_bytes = 5, .max_depth = 2}).code(), StatusCode::kResourceExhausted);
  EXPECT_FALSE(CheckJsonLimits(std::string(1000000, '[')).ok());
}

TEST(JsonGuard, BracketsInStringsDoNotCount) {
  EXPECT_TRUE(CheckJsonLimits(R"(["[[[[", "\"[[[", "\\"])", {.max_bytes = 100, .max_depth = 1}).ok());
  EXPECT_FALSE(CheckJsonLimits(R"(["\\", [[]]])", {.max_bytes = 100, .max_depth = 2}).ok())
      << "an escaped backslash does not escape the quote after it";
  EXPECT_TRUE(CheckJsonLimits("\"ends in an escape \\").ok());
}

}  // namespace
}  // namespace qnext
