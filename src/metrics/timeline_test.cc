#include "metrics/timeline.h"

#include <gtest/gtest.h>

namespace qnext {
namespace {

SteadyTime At(int64_t milliseconds) { return SteadyTime(std::chrono::milliseconds(milliseconds)); }

TEST(RequestTimelineTest, FiguresFollowTheirDefinitions) {
  RequestTimeline timeline(At(1000));
  timeline.Start(At(1500), /*prompt_tokens=*/40);
  for (int64_t time : {2500, 2600, 2700, 2900}) timeline.AddToken(At(time));

  const TimelineSummary summary = timeline.Summarize();
  EXPECT_EQ(summary.prompt_tokens, 40);
  EXPECT_EQ(summary.completion_tokens, 4);
  EXPECT_DOUBLE_EQ(summary.queue_seconds, 0.5);
  EXPECT_DOUBLE_EQ(summary.first_token_seconds.value(), 1.5);
  EXPECT_DOUBLE_EQ(summary.prefill_tokens_per_second.value(), 40.0);
  EXPECT_DOUBLE_EQ(summary.decode_tokens_per_second.value(), 3 / 0.4);
  EXPECT_DOUBLE_EQ(summary.inter_token_median_seconds.value(), 0.1);
  EXPECT_NEAR(summary.inter_token_p95_seconds.value(), 0.19, 1e-12);  // ranks 1 and 2 of (0.1, 0.1, 0.2), at 1.9
  EXPECT_DOUBLE_EQ(summary.total_seconds, 1.9);
}

TEST(RequestTimelineTest, OneTokenHasNoDecodeSpeed) {
  RequestTimeline timeline(At(0));
  timeline.Start(At(0), 8);
  timeline.AddToken(At(250));
  const TimelineSummary summary = timeline.Summarize();
  EXPECT_DOUBLE_EQ(summary.prefill_tokens_per_second.value(), 32.0);
  EXPECT_FALSE(summary.decode_tokens_per_second.has_value());
  EXPECT_FALSE(summary.inter_token_median_seconds.has_value());
}

TEST(RequestTimelineTest, NoTokenHasNoFigures) {
  RequestTimeline timeline(At(0));
  timeline.Start(At(100), 8);
  const TimelineSummary summary = timeline.Summarize();
  EXPECT_EQ(summary.completion_tokens, 0);
  EXPECT_FALSE(summary.first_token_seconds.has_value());
  EXPECT_DOUBLE_EQ(summary.total_seconds, 0.1);
}

TEST(RequestTimelineTest, TokensOfTheSameInstantDivideByNothing) {
  RequestTimeline timeline(At(5));
  timeline.Start(At(5), 8);
  timeline.AddToken(At(5));
  timeline.AddToken(At(5));
  const TimelineSummary summary = timeline.Summarize();
  EXPECT_FALSE(summary.prefill_tokens_per_second.has_value());
  EXPECT_FALSE(summary.decode_tokens_per_second.has_value());
  EXPECT_DOUBLE_EQ(summary.inter_token_median_seconds.value(), 0);
}

TEST(RequestTimelineDeathTest, TimesMustNotFall) {
  RequestTimeline timeline(At(10));
  timeline.AddToken(At(20));
  EXPECT_DEATH(timeline.AddToken(At(19)), "must not fall");
  EXPECT_DEATH(timeline.Start(At(30), 1), "before its first token");
}

TEST(PercentileTest, InterpolatesBetweenRanks) {
  EXPECT_DOUBLE_EQ(Percentile({7}, 0.95), 7);
  EXPECT_DOUBLE_EQ(Percentile({4, 1, 3, 2}, 0.5), 2.5);
  EXPECT_DOUBLE_EQ(Percentile({4, 1, 3, 2}, 0), 1);
  EXPECT_DOUBLE_EQ(Percentile({4, 1, 3, 2}, 1), 4);
  EXPECT_DOUBLE_EQ(Percentile({10, 20, 30, 40, 50}, 0.9), 46);
}

}  // namespace
}  // namespace qnext
