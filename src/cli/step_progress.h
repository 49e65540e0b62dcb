// Progress of a benchmark: a bar on a terminal, a line for each run elsewhere.
#pragma once

#include <cstdio>
#include <string>

#include "bench/benchmark_runner.h"

namespace qnext {

// "step 12 of 61: run: 50 tokens of prompt, 100 of output, about 4 min left". Time left is what the steps so far took
// on average, and no more than the time limit leaves; not told before the third step. An endless benchmark has no
// number of steps.
std::string FormatStep(const RunProgress& now);

// How much of it is done, 0 .. 1.
double FractionDone(const RunProgress& now);

// One thread at a time.
class StepProgressPrinter {
 public:
  explicit StepProgressPrinter(std::FILE* out);
  ~StepProgressPrinter() { Finish(); }
  StepProgressPrinter(const StepProgressPrinter&) = delete;
  StepProgressPrinter& operator=(const StepProgressPrinter&) = delete;

  void Update(const RunProgress& now);
  // Takes the bar off the terminal. Nothing the second time.
  void Finish();

 private:
  std::FILE* out_;
  bool terminal_;
  bool bar_shown_ = false;
};

}  // namespace qnext
