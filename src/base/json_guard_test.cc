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

TEST(JsonGuard, RefusesOtherEncodings) {
  using std::string_view_literals::operator""sv;
  for (const std::string_view text : {"\xff\xfe{\0}\0"sv, "\xfe\xff\0{\0}"sv, "{\0}\0"sv, "\0{\0}"sv}) {
    EXPECT_EQ(CheckJsonLimits(text).message(), "is UTF-16 or UTF-32; JSON is UTF-8");
  }
  EXPECT_EQ(CheckJsonLimits("{}  \0"sv).message(), "byte 4 is NUL, which JSON does not have");
  EXPECT_TRUE(CheckJsonLimits("\xef\xbb\xbf{}").ok()) << "the mark of UTF-8";
}

}  // namespace
}  // namespace qnext
