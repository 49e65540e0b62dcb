#include "cli/prove_report.h"

#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>

namespace qnext {
namespace {

using Json = nlohmann::json;

TEST(SlowestWindowTest, AnEvenRate) {
  const std::vector<double> gaps(300, 0.125);  // 37.5 s
  const std::optional<SlowestWindow> window = FindSlowestWindow(gaps, 10);
  ASSERT_TRUE(window);
  EXPECT_EQ(window->tokens, 80);
  EXPECT_DOUBLE_EQ(window->tokens_per_second, 8);
  EXPECT_DOUBLE_EQ(window->seconds, 10);
}

TEST(SlowestWindowTest, FindsTheDip) {
  std::vector<double> gaps(160, 0.125);  // 20 s at 8/s
  gaps.insert(gaps.end(), 20, 0.5);      // 10 s at 2/s
  gaps.insert(gaps.end(), 160, 0.125);
  EXPECT_EQ(FindSlowestWindow(gaps, 10)->tokens, 20);
  // Half as long: ten seconds of it hold five slow seconds and five of the others.
  std::vector<double> half(160, 0.125);
  half.insert(half.end(), 10, 0.5);
  half.insert(half.end(), 160, 0.125);
  EXPECT_EQ(FindSlowestWindow(half, 10)->tokens, 50);
}

TEST(SlowestWindowTest, AStallIsAWindowWithoutTokens) {
  std::vector<double> gaps(100, 0.125);
  gaps.push_back(12);
  gaps.insert(gaps.end(), 100, 0.125);
  EXPECT_EQ(FindSlowestWindow(gaps, 10)->tokens, 0);
  EXPECT_EQ(FindSlowestWindow(gaps, 10)->tokens_per_second, 0);
}

TEST(SlowestWindowTest, LessThanAWindow) {
  const std::optional<SlowestWindow> window = FindSlowestWindow(std::vector<double>(10, 0.5), 10);
  ASSERT_TRUE(window);
  EXPECT_DOUBLE_EQ(window->seconds, 5);
  EXPECT_DOUBLE_EQ(window->tokens_per_second, 2);
  EXPECT_FALSE(FindSlowestWindow({}, 10));
}

ProveReport Good() {
  ProveReport report;
  report.model = "folder";
  report.is_the_80b = true;
  for (const char* name : {"plan", "load", "answers"}) {
    ProveStep step;
    step.name = name;
    step.decides = step.name != "plan";
    step.state = StepState::kOk;
    report.steps.push_back(step);
  }
  report.median = 6;
  report.slowest = SlowestWindow{.tokens_per_second = 5, .seconds = 10, .tokens = 50};
  return report;
}

TEST(JudgeTest, Passes) {
  EXPECT_TRUE(Judge(Good()).pass);
  EXPECT_EQ(VerdictLine(Good()), "PASS: median 6 tokens/s, slowest 10 seconds 5 tokens/s; the target is 5");
  ProveReport report = Good();
  report.Find("plan")->state = StepState::kFailed;  // does not decide
  EXPECT_TRUE(Judge(report).pass);
  report.Find("answers")->state = StepState::kSkipped;
  report.is_the_80b = false;
  report.synthetic = true;
  EXPECT_EQ(VerdictLine(report).rfind("PASS (simulated weights: speed and memory only; this model is not the 80B; not "
                                      "judged: answers): ",
                                      0),
            0u)
      << VerdictLine(report);
}

TEST(JudgeTest, EveryReasonAgainstIt) {
  const std::pair<std::function<void(ProveReport&)>, const char*> cases[] = {
      {[](ProveReport& r) { r.median = 4.99; }, "speed: the median of the slowest case is 4.99 tokens/s, below 5"},
      {[](ProveReport& r) { r.slowest->tokens_per_second = 4.9; },
       "speed: the slowest 10 seconds have 4.9 tokens/s, below 5"},
      {[](ProveReport& r) { r.slowest->seconds = 9; },
       "speed: only 9 seconds of decoding were measured, and the slowest 10 must be known"},
      {[](ProveReport& r) { r.median.reset(); }, "speed: not measured"},
      {[](ProveReport& r) {
         r.Find("answers")->state = StepState::kFailed;
         r.Find("answers")->says = "3 of 20 right";
       },
       "answers: 3 of 20 right"},
      {[](ProveReport& r) { r.Find("load")->state = StepState::kRunning; }, "load: did not end"},
      {[](ProveReport& r) { r.Find("answers")->state = StepState::kNotRun; }, "answers: not run"},
  };
  for (const auto& [spoil, reason] : cases) {
    ProveReport report = Good();
    spoil(report);
    const Verdict verdict = Judge(report);
    EXPECT_FALSE(verdict.pass) << reason;
    EXPECT_EQ(verdict.reasons, std::vector<std::string>{reason});
    EXPECT_EQ(VerdictLine(report), std::string("FAIL: ") + reason);
    EXPECT_EQ(Json::parse(FormatProveJson(report))["verdict"], "FAIL");
    EXPECT_NE(FormatProveMarkdown(report).find("**FAIL: "), std::string::npos);
  }
}

TEST(ProveFormsTest, AnswersStayInTheirCells) {
  ProveReport report = Good();
  report.answers.push_back({.question = "a|b?", .expected = "c", .answer = "c\n| <b> \xff", .right = false});
  EXPECT_NE(FormatProveMarkdown(report).find("| a\\|b? | c | c \\| \\<b> "), std::string::npos)
      << FormatProveMarkdown(report);
  const Json json = Json::parse(FormatProveJson(report));
  EXPECT_EQ(json["answers"]["asked"][0]["right"], false);
  EXPECT_EQ(json["verdict"], "PASS");
  EXPECT_EQ(json["speed"]["slowest_window"]["tokens"], 50);
}

}  // namespace
}  // namespace qnext
