#include "engine/request.h"

#include <gtest/gtest.h>

namespace qnext {
namespace {

constexpr int32_t kVocabEnd = 100;
constexpr int64_t kContext = 10;

Request Plain() {
  Request request;
  request.prompt_ids = {1, 2, 3};
  return request;
}

std::string Message(const Request& request) {
  const Status status = ValidateRequest(request, kVocabEnd, kContext);
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  return status.message();
}

TEST(ValidateRequestTest, AcceptsAPlainRequest) { EXPECT_TRUE(ValidateRequest(Plain(), kVocabEnd, kContext).ok()); }

TEST(ValidateRequestTest, RefusesAnEmptyPrompt) { EXPECT_EQ(Message({}), "prompt: is empty"); }

TEST(ValidateRequestTest, APromptLeavesRoomForATokenOfTheAnswer) {
  Request request;
  request.prompt_ids.assign(9, 1);
  EXPECT_TRUE(ValidateRequest(request, kVocabEnd, kContext).ok());
  request.prompt_ids.assign(10, 1);
  EXPECT_EQ(Message(request),
            "prompt: has 10 tokens, but the context holds 10, the answer's at least one token included");
}

TEST(ValidateRequestTest, RefusesTokensOutsideTheVocabulary) {
  Request request = Plain();
  request.prompt_ids[1] = 100;
  EXPECT_EQ(Message(request), "prompt: token 100 is outside the vocabulary of 100 tokens");
  request = Plain();
  request.prompt_ids[2] = -1;
  EXPECT_EQ(Message(request), "prompt: token -1 is outside the vocabulary of 100 tokens");
  request = Plain();
  request.eos_ids = {99, 101};
  EXPECT_EQ(Message(request), "eos_ids: token 101 is outside the vocabulary of 100 tokens");
}

TEST(ValidateRequestTest, RefusesLimitsAndStopsThatMeanNothing) {
  Request request = Plain();
  request.max_tokens = 0;
  EXPECT_EQ(Message(request), "max_tokens: must be at least 1, not 0");
  request = Plain();
  request.stop = {"a", ""};
  EXPECT_EQ(Message(request), "stop: a stop string must not be empty");
  request = Plain();
  request.sampling.top_p = 2;
  EXPECT_EQ(Message(request), "top_p: must be in [0, 1], not 2");
}

TEST(FinishReasonTest, HasTheNamesOfTheApi) {
  EXPECT_EQ(FinishReasonName(FinishReason::kStop), "stop");
  EXPECT_EQ(FinishReasonName(FinishReason::kLength), "length");
  EXPECT_EQ(FinishReasonName(FinishReason::kCancelled), "cancelled");
}

}  // namespace
}  // namespace qnext
