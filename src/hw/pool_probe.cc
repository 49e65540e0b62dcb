#include "hw/pool_probe.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <thread>

namespace qnext {
namespace {

using Clock = std::chrono::steady_clock;

double Seconds(Clock::time_point from) { return std::chrono::duration<double>(Clock::now() - from).count(); }

// Not those in which another thread had the core.
double ThreadCpuSeconds() {
  timespec now = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

void EmptyLoop(ThreadPool& pool) {
  pool.ParallelFor(pool.threads(), 1, [](Range, int) {});
}

}  // namespace

std::vector<double> MeasureForkJoin(ThreadPool& pool, int samples) {
  constexpr int kLoops = 500;
  std::vector<double> seconds;
  for (int sample = 0; sample < samples; ++sample) {
    EmptyLoop(pool);  // wakes the workers
    const auto start = Clock::now();
    for (int i = 0; i < kLoops; ++i) EmptyLoop(pool);
    seconds.push_back(Seconds(start) / kLoops);
  }
  return seconds;
}

std::vector<double> MeasureWakeUp(ThreadPool& pool, int samples) {
  constexpr std::chrono::milliseconds kLongerThanAnySpin{2};
  std::vector<double> seconds;
  for (int sample = 0; sample < samples; ++sample) {
    std::this_thread::sleep_for(kLongerThanAnySpin);
    const auto start = Clock::now();
    EmptyLoop(pool);
    seconds.push_back(Seconds(start));
  }
  return seconds;
}

double MeasureClock() {
#if defined(__x86_64__)
  // A multiplication waits three cycles for the one before it on every x86-64 processor of the last fifteen years, and
  // none leaves it out.
  constexpr int64_t kChain = 16, kRounds = 1 << 20, kCycles = 3;
  double best = 0;
  for (int attempt = 0; attempt < 5; ++attempt) {
    uint64_t x = 3;
    const double start = ThreadCpuSeconds();
    for (int64_t i = 0; i < kRounds; ++i) {
      __asm__ volatile(
          "imul %0, %0\n\timul %0, %0\n\timul %0, %0\n\timul %0, %0\n\t"
          "imul %0, %0\n\timul %0, %0\n\timul %0, %0\n\timul %0, %0\n\t"
          "imul %0, %0\n\timul %0, %0\n\timul %0, %0\n\timul %0, %0\n\t"
          "imul %0, %0\n\timul %0, %0\n\timul %0, %0\n\timul %0, %0"
          : "+r"(x));
    }
    best = std::max(best, static_cast<double>(kChain * kRounds * kCycles) / (ThreadCpuSeconds() - start));
  }
  return best;
#else
  return 0;
#endif
}

}  // namespace qnext
