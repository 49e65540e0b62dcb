#include "cli/step_progress.h"

#include <gtest/gtest.h>

namespace qnext {
namespace {

RunProgress At(int64_t step, int64_t steps, double seconds, double limit = 0) {
  return {.step = step, .steps = steps, .seconds = seconds, .time_limit = limit, .what = "run: x"};
}

TEST(FormatStepTest, TheTimeLeftComesFromTheStepsSoFar) {
  EXPECT_EQ(FormatStep(At(1, 61, 0)), "step 1 of 61: run: x");
  EXPECT_EQ(FormatStep(At(2, 61, 5)), "step 2 of 61: run: x");
  EXPECT_EQ(FormatStep(At(11, 61, 20)), "step 11 of 61: run: x, about 2 min left");
  EXPECT_EQ(FormatStep(At(11, 61, 10)), "step 11 of 61: run: x, about 51 s left");
  EXPECT_EQ(FormatStep(At(11, 61, 2000)), "step 11 of 61: run: x, about 2.8 h left");
  EXPECT_EQ(FormatStep(At(11, 61, 20, 50)), "step 11 of 61: run: x, about 30 s left");
}

TEST(FormatStepTest, AnEndlessOneHasItsTimeOnly) {
  EXPECT_EQ(FormatStep(At(7, 0, 20, 600)), "step 7: run: x, about 10 min left");
  EXPECT_EQ(FormatStep(At(7, 0, 700, 600)), "step 7: run: x, about 0 s left");
}

TEST(FractionDoneTest, IsOfStepsOrTime) {
  EXPECT_DOUBLE_EQ(FractionDone(At(1, 4, 0)), 0);
  EXPECT_DOUBLE_EQ(FractionDone(At(4, 4, 9)), 0.75);
  EXPECT_DOUBLE_EQ(FractionDone(At(2, 4, 9, 10)), 0.9);
  EXPECT_DOUBLE_EQ(FractionDone(At(2, 0, 5, 10)), 0.5);
}

TEST(StepProgressPrinterTest, PlainLinesWhereThereIsNoTerminal) {
  std::FILE* file = std::tmpfile();
  {
    StepProgressPrinter printer(file);
    printer.Update(At(1, 2, 0));
    printer.Update(At(2, 2, 3));
  }
  std::rewind(file);
  char text[200] = {};
  ASSERT_GT(std::fread(text, 1, sizeof(text) - 1, file), 0u);
  EXPECT_STREQ(text, "qnext: step 1 of 2: run: x\nqnext: step 2 of 2: run: x\n");
  std::fclose(file);
}

}  // namespace
}  // namespace qnext
