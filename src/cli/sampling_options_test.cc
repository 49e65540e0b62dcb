#include "cli/sampling_options.h"

#include <gtest/gtest.h>

namespace qnext {
namespace {

TEST(SamplingOptionsTest, TheCheckpointDecidesWhatTheCommandLineLeavesOpen) {
  GenerationDefaults defaults;
  defaults.temperature = 0.7;
  defaults.top_p = 0.8;
  defaults.top_k = 20;
  defaults.min_p = 0.05;
  defaults.repetition_penalty = 1.1;
  defaults.do_sample = true;
  SamplingFlags flags;
  flags.top_p = 0.95;
  flags.seed = 3;
  const SamplingParams params = ToSamplingParams(flags, defaults);
  EXPECT_EQ(params.temperature, 0.7);
  EXPECT_EQ(params.top_p, 0.95);
  EXPECT_EQ(params.top_k, 20);
  EXPECT_EQ(params.min_p, 0.05);
  EXPECT_EQ(params.repetition_penalty, 1.1);
  EXPECT_EQ(params.seed, 3u);
}

TEST(SamplingOptionsTest, NoSamplingMeansGreedyUnlessATemperatureIsGiven) {
  GenerationDefaults defaults;
  defaults.temperature = 0.7;
  defaults.do_sample = false;
  EXPECT_EQ(ToSamplingParams({}, defaults).temperature, 0);
  SamplingFlags flags;
  flags.temperature = 0.5;
  EXPECT_EQ(ToSamplingParams(flags, defaults).temperature, 0.5);
}

TEST(SamplingOptionsTest, WithoutAnyWordTheModelsDistribution) {
  const SamplingParams params = ToSamplingParams({}, {});
  EXPECT_EQ(params.temperature, 1);
  EXPECT_EQ(params.top_p, 1);
  EXPECT_EQ(params.top_k, 0);
}

TEST(SamplingOptionsTest, EverySpellingOfNoLimitInTheFile) {
  GenerationDefaults defaults;
  defaults.top_k = -7;
  EXPECT_EQ(ToSamplingParams({}, defaults).top_k, 0);
}

TEST(SamplingOptionsTest, BiasesAreIdEqualsNumber) {
  SamplingFlags flags;
  flags.logit_bias = {"7=-100", "8=1.5"};
  ASSERT_TRUE(CheckSamplingFlags(flags).ok());
  EXPECT_EQ(ToSamplingParams(flags, {}).logit_bias, (std::map<int32_t, float>{{7, -100.0f}, {8, 1.5f}}));
  for (const char* bad : {"", "7", "7=", "=5", "x=5", "7=y", "7=5z", "7 =5", "99999999999=1"}) {
    flags.logit_bias = {bad};
    EXPECT_EQ(CheckSamplingFlags(flags).message().rfind("--logit-bias: ", 0), 0u) << bad;
  }
  flags.logit_bias = {"7=101"};
  EXPECT_EQ(CheckSamplingFlags(flags).message(), "--logit-bias: the bias of token 7 must be in [-100, 100], not 101");
}

TEST(SamplingOptionsTest, RangesAreCheckedBeforeLoading) {
  SamplingFlags flags;
  flags.min_p = 2;
  EXPECT_EQ(CheckSamplingFlags(flags).message(), "--min-p: must be in [0, 1], not 2");
  flags = {};
  flags.stop = {""};
  EXPECT_EQ(CheckSamplingFlags(flags).message(), "--stop: a stop string must not be empty");
  flags.stop = {"caf\xC3\xA9", "ab\xE9"};
  EXPECT_EQ(CheckSamplingFlags(flags).message(), "--stop: invalid UTF-8 at byte 3, which no answer holds");
}

}  // namespace
}  // namespace qnext
