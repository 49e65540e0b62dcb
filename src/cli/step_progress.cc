#include "cli/step_progress.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>

#include "cli/load_progress.h"
#include "cli/output.h"

namespace qnext {
namespace {

constexpr int kBarWidth = 30;
constexpr int64_t kStepsToJudgeBy = 2;

std::string TimeText(double seconds) {
  if (seconds < 90) return fmt::format("{:.0f} s", seconds);
  if (seconds < 90 * 60) return fmt::format("{:.0f} min", seconds / 60);
  return fmt::format("{:.1f} h", seconds / 3600);
}

}  // namespace

std::string FormatStep(const RunProgress& now) {
  std::string text = now.steps > 0 ? fmt::format("step {} of {}: {}", now.step, now.steps, now.what)
                                   : fmt::format("step {}: {}", now.step, now.what);
  const int64_t done = now.step - 1;
  double left = -1;
  if (now.steps > 0 && done >= kStepsToJudgeBy) {
    left = now.seconds / static_cast<double>(done) * static_cast<double>(now.steps - done);
  }
  if (now.time_limit > 0 && (left >= 0 || now.steps == 0)) {
    const double limit = std::max(0.0, now.time_limit - now.seconds);
    left = left < 0 ? limit : std::min(left, limit);
  }
  return left < 0 ? text : fmt::format("{}, about {} left", text, TimeText(left));
}

double FractionDone(const RunProgress& now) {
  const double steps = now.steps > 0 ? static_cast<double>(now.step - 1) / static_cast<double>(now.steps) : 0;
  const double time = now.time_limit > 0 ? now.seconds / now.time_limit : 0;
  return std::clamp(std::max(steps, time), 0.0, 1.0);
}

StepProgressPrinter::StepProgressPrinter(std::FILE* out) : out_(out), terminal_(isatty(fileno(out)) != 0) {}

void StepProgressPrinter::Update(const RunProgress& now) {
  if (terminal_) {
    Show(out_, fmt::format("\r\x1b[K{} {}", FormatBar(FractionDone(now), kBarWidth), FormatStep(now)));
    bar_shown_ = true;
  } else {
    Show(out_, fmt::format("qnext: {}\n", FormatStep(now)));
  }
}

void StepProgressPrinter::Finish() {
  if (bar_shown_) Show(out_, "\r\x1b[K");
  bar_shown_ = false;
}

}  // namespace qnext
