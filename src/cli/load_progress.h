// Progress of loading (or of writing as much): a bar on a terminal, plain lines elsewhere.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>

#include "engine/model_loader.h"

namespace qnext {

// "12.3 GiB of 44.6 GiB, 1.02 GiB/s, 32 s left". `seconds` is the time so far; without it, or without bytes, there is
// neither rate nor time left.
std::string FormatLoadProgress(const LoadProgress& now, double seconds);

// "[#####...............]", `width` cells.
std::string FormatBar(double fraction, int width);

// On a terminal one line is rewritten ten times a second; elsewhere a line is printed every ten seconds. A load that
// ends within the first of those intervals prints nothing. One thread at a time.
class LoadProgressPrinter {
 public:
  // `what` is going on: "loading".
  LoadProgressPrinter(std::FILE* out, std::string what);
  ~LoadProgressPrinter() { Finish(); }
  LoadProgressPrinter(const LoadProgressPrinter&) = delete;
  LoadProgressPrinter& operator=(const LoadProgressPrinter&) = delete;

  void Update(const LoadProgress& now);
  // Takes the bar off the terminal. Nothing the second time.
  void Finish();

 private:
  using Clock = std::chrono::steady_clock;

  std::FILE* out_;
  std::string what_;
  bool terminal_;
  bool bar_shown_ = false;
  Clock::time_point start_ = Clock::now();
  Clock::time_point last_ = start_;
};

}  // namespace qnext
