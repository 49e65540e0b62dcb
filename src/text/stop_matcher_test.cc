#include "text/stop_matcher.h"

#include <gtest/gtest.h>

#include <optional>
#include <random>
#include <string>
#include <vector>

namespace qnext {
namespace {

struct Outcome {
  std::string text;
  std::optional<std::string> matched;
};

// The rule of the header, on the whole text.
Outcome SearchWhole(const std::vector<std::string>& stops, const std::string& text) {
  for (size_t begin = 0; begin < text.size(); ++begin) {
    std::optional<std::string> longest;
    for (const std::string& stop : stops) {
      if (stop.empty() || text.compare(begin, stop.size(), stop) != 0) continue;
      if (!longest || stop.size() > longest->size()) longest = stop;
    }
    if (longest) return {text.substr(0, begin), longest};
  }
  return {text, std::nullopt};
}

TEST(StopMatcher, AgreesWithAWholeSearchHoweverTheTextIsCut) {
  std::mt19937 random(3);
  const auto word = [&](size_t longest) {
    std::string out;
    for (size_t size = random() % (longest + 1); out.size() < size;) out += "ab<"[random() % 3];
    return out;
  };
  int stopped = 0;
  int stopped_by_finish = 0;
  for (int round = 0; round < 100000; ++round) {
    std::vector<std::string> stops;
    for (size_t count = random() % 5; stops.size() < count;) stops.push_back(word(6));
    const std::string text = word(24);
    StopMatcher matcher(stops);
    std::string returned;
    for (size_t at = 0; at < text.size();) {
      const size_t size = random() % 5;  // none at all, too
      returned += matcher.Push(text.substr(at, size));
      at += size;
    }
    const bool before_finish = matcher.stopped();
    returned += matcher.Finish();
    const Outcome expected = SearchWhole(stops, text);
    ASSERT_EQ(returned, expected.text) << testing::PrintToString(stops) << " in " << text;
    ASSERT_EQ(matcher.matched(), expected.matched) << testing::PrintToString(stops) << " in " << text;
    returned = matcher.Push("more");
    returned += matcher.Finish();
    ASSERT_EQ(returned, matcher.stopped() ? "" : "more");
    stopped += before_finish ? 1 : 0;
    stopped_by_finish += !before_finish && matcher.stopped() ? 1 : 0;
  }
  EXPECT_GT(stopped, 10000);
  EXPECT_GT(stopped_by_finish, 100);
}

TEST(StopMatcher, ReturnsTextAsSoonAsItIsCertain) {
  StopMatcher matcher({"</s>", "\n\n"});
  EXPECT_EQ(matcher.Push("Hello"), "Hello");
  EXPECT_EQ(matcher.Push(" <"), " ");
  EXPECT_EQ(matcher.Push("/"), "");
  EXPECT_EQ(matcher.Push("b>\n"), "</b>");
  EXPECT_EQ(matcher.Push("x"), "\nx");
  EXPECT_FALSE(matcher.stopped());
  EXPECT_EQ(matcher.Push("y</s>z"), "y");
  EXPECT_EQ(matcher.matched(), "</s>");
  EXPECT_EQ(matcher.Push("more"), "");
  EXPECT_EQ(matcher.Finish(), "");
}

TEST(StopMatcher, WaitsForTheLongerAndForTheEarlierOne) {
  StopMatcher longer({"ab", "abc"});
  EXPECT_EQ(longer.Push("xab"), "x");
  EXPECT_FALSE(longer.stopped());
  EXPECT_EQ(longer.Push("d"), "");
  EXPECT_EQ(longer.matched(), "ab");

  StopMatcher earlier({"bc", "abcd"});
  EXPECT_EQ(earlier.Push("abc"), "");
  EXPECT_FALSE(earlier.stopped());
  EXPECT_EQ(earlier.Finish(), "a");
  EXPECT_EQ(earlier.matched(), "bc");
}

TEST(StopMatcher, FinishReturnsWhatWasNoStopString) {
  StopMatcher matcher({"stop"});
  EXPECT_EQ(matcher.Push("sto"), "");
  EXPECT_EQ(matcher.Finish(), "sto");
  EXPECT_FALSE(matcher.stopped());
  EXPECT_EQ(StopMatcher({"", ""}).Push("all"), "all");
}

TEST(StopMatcher, IsFastOnLongHeldText) {
  const std::string long_stop = std::string(1 << 14, 'a') + "b";
  StopMatcher matcher({long_stop, "zz"});
  size_t returned = 0;
  for (int i = 0; i < 1 << 16; ++i) returned += matcher.Push("a").size();
  EXPECT_EQ(returned, (1U << 16) - (1U << 14));
  EXPECT_EQ(matcher.Push("b"), "");
  EXPECT_EQ(matcher.matched(), long_stop);
}

}  // namespace
}  // namespace qnext
