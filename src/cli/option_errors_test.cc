#include "cli/option_errors.h"

#include <gtest/gtest.h>

namespace qnext {
namespace {

TEST(OptionErrorsTest, FieldsBecomeOptions) {
  EXPECT_EQ(InOptionTerms(InvalidArgument("max_tokens: too few")).message(), "--max-tokens: too few");
  EXPECT_EQ(InOptionTerms(InvalidArgument("ctx: a: b")).message(), "--ctx: a: b");
  EXPECT_EQ(InOptionTerms(InvalidArgument("ctx: a")).code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(InOptionTerms(Status()).ok());
}

TEST(OptionErrorsTest, WhatComesFromElsewhereStays) {
  for (const char* message :
       {"prompt: is empty", "model/generation_config.json: temperature: 50", "ctx", "--ctx: a", ""}) {
    EXPECT_EQ(InOptionTerms(Internal(message)).message(), message);
  }
}

}  // namespace
}  // namespace qnext
