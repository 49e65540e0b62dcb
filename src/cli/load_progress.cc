#include "cli/load_progress.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/bytes.h"
#include "cli/output.h"

namespace qnext {
namespace {

constexpr std::chrono::milliseconds kTerminalInterval{100};
constexpr std::chrono::seconds kLineInterval{10};
constexpr int kBarWidth = 30;

double Fraction(const LoadProgress& now) {
  if (now.bytes_total <= 0) return 0;
  return std::clamp(static_cast<double>(now.bytes_done) / static_cast<double>(now.bytes_total), 0.0, 1.0);
}

}  // namespace

std::string FormatLoadProgress(const LoadProgress& now, double seconds) {
  std::string text = fmt::format("{} of {}", FormatBytes(now.bytes_done), FormatBytes(now.bytes_total));
  if (seconds <= 0 || now.bytes_done <= 0) return text;
  const double rate = static_cast<double>(now.bytes_done) / seconds;
  const double left = static_cast<double>(std::max<int64_t>(now.bytes_total - now.bytes_done, 0)) / rate;
  return text + fmt::format(", {}/s, {:.0f} s left", FormatBytes(std::llround(rate)), std::ceil(left));
}

std::string FormatBar(double fraction, int width) {
  const int full = static_cast<int>(std::clamp(fraction, 0.0, 1.0) * width);
  return fmt::format("[{:#<{}}{:.<{}}]", "", full, "", width - full);
}

LoadProgressPrinter::LoadProgressPrinter(std::FILE* out, std::string what)
    : out_(out), what_(std::move(what)), terminal_(isatty(fileno(out)) != 0) {}

void LoadProgressPrinter::Update(const LoadProgress& now) {
  const Clock::time_point time = Clock::now();
  if (time - last_ < (terminal_ ? Clock::duration(kTerminalInterval) : Clock::duration(kLineInterval))) return;
  last_ = time;
  const std::string text = FormatLoadProgress(now, std::chrono::duration<double>(time - start_).count());
  if (terminal_) {
    Show(out_, fmt::format("\r\x1b[K{} {} {}", what_, FormatBar(Fraction(now), kBarWidth), text));
    bar_shown_ = true;
  } else {
    Show(out_, fmt::format("qnext: {}: {}\n", what_, text));
  }
}

void LoadProgressPrinter::Finish() {
  if (bar_shown_) Show(out_, "\r\x1b[K");
  bar_shown_ = false;
}

}  // namespace qnext
