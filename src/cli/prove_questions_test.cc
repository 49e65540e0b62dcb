#include "cli/prove_questions.h"

#include <gtest/gtest.h>

#include "engine/model_files.h"
#include "engine/testing.h"

namespace qnext {
namespace {

TEST(HoldsAnswerTest, WholeWordsInAnyCase) {
  EXPECT_TRUE(HoldsAnswer("The capital is PARIS.", {"Paris"}));
  EXPECT_FALSE(HoldsAnswer("A comparison", {"Paris"}));
  EXPECT_FALSE(HoldsAnswer("Parisian", {"Paris"}));
  EXPECT_TRUE(HoldsAnswer("Parisian Paris", {"Paris"}));
  EXPECT_TRUE(HoldsAnswer("17 + 25 = 42", {"42"}));
  EXPECT_TRUE(HoldsAnswer("42.", {"42"}));
  EXPECT_TRUE(HoldsAnswer("\\boxed{42}", {"42"}));
  for (const char* wrong : {"142", "420", "42.5", "42,000", "1.42", "3,42", "", "forty"}) {
    EXPECT_FALSE(HoldsAnswer(wrong, {"42"})) << wrong;
  }
  EXPECT_TRUE(HoldsAnswer("Six sides.", {"6", "six"}));
  EXPECT_TRUE(HoldsAnswer("It is CO₂.", {"CO2", "CO₂"}));
  EXPECT_FALSE(HoldsAnswer("The capital of France is Lyon.", {"Paris"}));
}

TEST(KnownModelTest, QuestionsDoNotGiveTheirAnswersAway) {
  ModelConfig the_80b;
  the_80b.num_layers = 48;
  the_80b.hidden_size = 2048;
  the_80b.num_experts = 512;
  const ModelConfig tiny = LoadConfig({.folder = TinyFolder()}).value();
  for (const KnownModel& known : {DescribeKnownModel(the_80b, 151669), DescribeKnownModel(tiny, 4122)}) {
    EXPECT_EQ(known.questions.size(), 20u);
    EXPECT_EQ(known.needed, 18);
    ASSERT_TRUE(known.perplexity);
    EXPECT_LT(known.perplexity->low, known.perplexity->high);
    for (const KnownQuestion& one : known.questions) {
      const std::string question = one.question;
      const bool recall = question.find("The code of") == 0;
      const bool listed =
          question.find("list: ") != std::string::npos || question.find("upper case") != std::string::npos;
      EXPECT_TRUE(recall || listed || !HoldsAnswer(question, one.answers)) << question;
    }
  }
}

TEST(KnownModelTest, WhatIsNeitherIsNotJudged) {
  ModelConfig the_80b;
  the_80b.num_layers = 48;
  the_80b.hidden_size = 2048;
  the_80b.num_experts = 512;
  const KnownModel bytes = DescribeKnownModel(the_80b, 259);  // as `synth` writes it
  EXPECT_TRUE(bytes.questions.empty());
  EXPECT_FALSE(bytes.perplexity);
  ModelConfig other = the_80b;
  other.num_layers = 24;
  const KnownModel qwen = DescribeKnownModel(other, 151669);
  EXPECT_EQ(qwen.questions.size(), 20u);
  EXPECT_EQ(qwen.needed, 0);
  EXPECT_FALSE(qwen.perplexity);
}

TEST(ProofTextTest, SomeHundredWords) {
  EXPECT_GT(ProofText().size(), 2000u);
  EXPECT_EQ(ProofText().find("Four score"), 0u);
}

}  // namespace
}  // namespace qnext
