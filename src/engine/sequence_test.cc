#include "engine/sequence.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/testing.h"

namespace qnext {
namespace {

// Steps a sequence through tokens that the model is certain of, until it finishes or they are used up.
class SequenceTest : public ::testing::Test {
 protected:
  SequenceTest() { request_.prompt_ids = {5}; }

  std::string Run(const std::vector<int32_t>& tokens) {
    Sequence sequence(request_, tokenizer_, {kTinyMessageEnd}, context_, std::chrono::steady_clock::now());
    sequence.Start();
    std::string streamed;
    std::vector<float> logits(static_cast<size_t>(tokenizer_.vocab_end()));
    for (size_t i = 0; i < tokens.size() && !sequence.finished(); ++i) {
      std::fill(logits.begin(), logits.end(), -20.0f);
      logits[static_cast<size_t>(tokens[i])] = 20;
      const Result<Piece> piece = sequence.Advance(logits);
      EXPECT_TRUE(piece.ok());
      EXPECT_EQ(piece->token_id, tokens[i]);
      streamed += piece->text;
    }
    sequence.Cancel();  // a sequence that has finished takes no notice
    result_ = sequence.TakeResult();
    EXPECT_EQ(streamed, result_.text);
    return streamed;
  }

  std::vector<int32_t> Ids(const std::string& text) { return tokenizer_.Encode(text); }
  // The token of one byte.
  int32_t ByteId(char byte) {
    for (int32_t id = 0; id < tokenizer_.vocab_end(); ++id) {
      if (tokenizer_.TokenBytes(id) == std::string_view(&byte, 1)) return id;
    }
    ADD_FAILURE() << "no token for the byte";
    return 0;
  }

  Tokenizer tokenizer_ = TinyTokenizer();
  int64_t context_ = 100;
  Request request_;
  GenerationResult result_;
};

TEST_F(SequenceTest, EosEndsAndIsCountedButNotShown) {
  std::vector<int32_t> ids = Ids("The capital of France is Paris.");
  const size_t words = ids.size();
  ids.push_back(kTinyMessageEnd);
  ids.push_back(7);  // never asked for
  EXPECT_EQ(Run(ids), "The capital of France is Paris.");
  EXPECT_EQ(result_.finish_reason, FinishReason::kStop);
  EXPECT_EQ(result_.eos_id, kTinyMessageEnd);
  EXPECT_FALSE(result_.stop_string.has_value());
  EXPECT_EQ(result_.usage.prompt_tokens, 1);
  EXPECT_EQ(result_.usage.completion_tokens, static_cast<int64_t>(words + 1));
  EXPECT_EQ(result_.token_ids.size(), words + 1);
  EXPECT_EQ(result_.timeline.tokens().size(), words + 1);
}

TEST_F(SequenceTest, EosTokensOfTheRequestReplaceTheCheckpoints) {
  request_.eos_ids = {ByteId('!')};
  EXPECT_EQ(Run({ByteId('a'), kTinyMessageEnd, ByteId('b'), ByteId('!')}), "ab");
  EXPECT_EQ(result_.eos_id, ByteId('!'));
}

TEST_F(SequenceTest, IgnoredEosIsATokenLikeAnyOther) {
  request_.ignore_eos = true;
  request_.max_tokens = 3;
  EXPECT_EQ(Run({ByteId('a'), kTinyMessageEnd, ByteId('b'), ByteId('c')}), "ab");
  EXPECT_EQ(result_.finish_reason, FinishReason::kLength);
  request_.skip_special_tokens = false;
  EXPECT_EQ(Run({ByteId('a'), kTinyMessageEnd, ByteId('b')}), "a<|im_end|>b");
}

TEST_F(SequenceTest, MaxTokensEndsWithLength) {
  request_.max_tokens = 2;
  EXPECT_EQ(Run({ByteId('a'), ByteId('b'), ByteId('c')}), "ab");
  EXPECT_EQ(result_.finish_reason, FinishReason::kLength);
  EXPECT_FALSE(result_.eos_id.has_value());
}

TEST_F(SequenceTest, TheContextLimitsWhatMaxTokensDoesNot) {
  context_ = 4;  // 1 token of prompt, 3 of answer
  EXPECT_EQ(Run(std::vector<int32_t>(9, ByteId('x'))), "xxx");
  EXPECT_EQ(result_.finish_reason, FinishReason::kLength);
  request_.max_tokens = 50;
  EXPECT_EQ(Run(std::vector<int32_t>(9, ByteId('x'))), "xxx");
}

TEST_F(SequenceTest, AStopStringAcrossTokensEndsAndIsNotShown) {
  request_.stop = {"zz", "cde"};
  EXPECT_EQ(Run({ByteId('a'), ByteId('b'), ByteId('c'), ByteId('d'), ByteId('e'), ByteId('f')}), "ab");
  EXPECT_EQ(result_.finish_reason, FinishReason::kStop);
  EXPECT_EQ(result_.stop_string, "cde");
  EXPECT_EQ(result_.usage.completion_tokens, 5);
}

TEST_F(SequenceTest, WhatCouldHaveBecomeAStopStringIsShownAtTheEnd) {
  request_.stop = {"cde"};
  EXPECT_EQ(Run({ByteId('a'), ByteId('c'), ByteId('d'), kTinyMessageEnd}), "acd");
  EXPECT_EQ(result_.finish_reason, FinishReason::kStop);
  EXPECT_FALSE(result_.stop_string.has_value());
  request_.max_tokens = 3;
  EXPECT_EQ(Run({ByteId('a'), ByteId('c'), ByteId('d')}), "acd");
  EXPECT_EQ(result_.finish_reason, FinishReason::kLength);
}

TEST_F(SequenceTest, AStopStringOnTheLastTokenIsAStop) {
  request_.stop = {"bc"};
  request_.max_tokens = 3;
  EXPECT_EQ(Run({ByteId('a'), ByteId('b'), ByteId('c')}), "a");
  EXPECT_EQ(result_.finish_reason, FinishReason::kStop);
}

TEST_F(SequenceTest, UnfinishedCharactersAreHeldBack) {
  EXPECT_EQ(Run({ByteId('\xc3'), ByteId('\xa9'), kTinyMessageEnd}), "\xc3\xa9");
  EXPECT_EQ(Run({ByteId('a'), ByteId('\xc3'), kTinyMessageEnd}), "a\xef\xbf\xbd");
  request_.max_tokens = 2;
  EXPECT_EQ(Run({ByteId('a'), ByteId('\xc3')}), "a\xef\xbf\xbd");
}

TEST_F(SequenceTest, CancelKeepsWhatIsCertain) {
  request_.stop = {"cde"};
  EXPECT_EQ(Run({ByteId('a'), ByteId('b'), ByteId('c')}), "ab");  // the tokens run out: cancelled
  EXPECT_EQ(result_.finish_reason, FinishReason::kCancelled);
  EXPECT_EQ(result_.usage.completion_tokens, 3);
}

TEST_F(SequenceTest, LogprobsComeWithEachToken) {
  request_.sampling.logprobs = true;
  request_.sampling.top_logprobs = 2;
  request_.max_tokens = 3;
  Run({ByteId('a'), ByteId('b'), ByteId('c')});
  ASSERT_EQ(result_.logprobs.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_NEAR(result_.logprobs[i].logprob, 0, 1e-4);
    ASSERT_EQ(result_.logprobs[i].top.size(), 2u);
    EXPECT_EQ(result_.logprobs[i].top[0].id, result_.token_ids[i]);
    EXPECT_LT(result_.logprobs[i].top[1].logprob, -30);
  }
}

TEST_F(SequenceTest, TheSeedIsTheRequestsOrReported) {
  request_.sampling.seed = 77;
  request_.max_tokens = 1;
  Run({ByteId('a')});
  EXPECT_EQ(result_.seed, 77u);
  request_.sampling.seed.reset();
  Run({ByteId('a')});
  const uint64_t first = result_.seed;
  Run({ByteId('a')});
  EXPECT_NE(result_.seed, first);  // equal once in 2^64
}

}  // namespace
}  // namespace qnext
