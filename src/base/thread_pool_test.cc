#include "base/thread_pool.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <new>
#include <thread>
#include <vector>

namespace qnext {
namespace {

TEST(ThreadPool, CoversEveryItemOnceWhateverTheGrain) {
  for (int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    for (int64_t items : {0, 1, 7, 64, 1000}) {
      for (int64_t grain : {1, 3, 64, 5000}) {
        std::vector<std::atomic<int>> seen(static_cast<size_t>(items));
        pool.ParallelFor(items, grain, [&](Range part, int thread) {
          EXPECT_LE(part.size(), grain);
          EXPECT_LT(thread, threads);
          for (int64_t i = part.begin; i < part.end; ++i) ++seen[static_cast<size_t>(i)];
        });
        for (const auto& count : seen) ASSERT_EQ(count.load(), 1) << "threads " << threads << " items " << items;
      }
    }
  }
}

TEST(ThreadPool, ManyShortLoopsLoseNoWork) {
  for (const auto spin : {std::chrono::microseconds(0), std::chrono::microseconds(50)}) {
    ThreadPool pool(ThreadPoolOptions{.threads = 4, .spin = spin});
    std::atomic<int64_t> total{0};
    for (int i = 0; i < 2000; ++i) pool.ParallelFor(8, 1, [&](Range part, int) { total += part.size(); });
    EXPECT_EQ(total.load(), 16000);
  }
}

TEST(ThreadPool, WakesAfterItHasSlept) {
  ThreadPool pool(3);
  for (int round = 0; round < 3; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    std::atomic<int64_t> total{0};
    pool.ParallelFor(100, 1, [&](Range part, int) { total += part.size(); });
    EXPECT_EQ(total.load(), 100);
  }
}

TEST(ThreadPool, IdleThreadsUseNoProcessor) {
  ThreadPool pool(4);
  pool.ParallelFor(100, 1, [](Range, int) {});
  const auto used = [] {
    rusage usage = {};
    getrusage(RUSAGE_SELF, &usage);
    return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           1e-6 * static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
  };
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // past the spinning
  const double before = used();
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_LT(used() - before, 0.01);
}

TEST(ThreadPool, AnExceptionComesOutOfTheLoopAndThePoolGoesOn) {
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    for (int round = 0; round < 50; ++round) {
      std::atomic<int64_t> ran{0};
      const auto fails = [&](Range part, int) {
        ran += part.size();
        if (part.begin <= 500 && 500 < part.end) throw std::bad_alloc();
      };
      EXPECT_THROW(pool.ParallelFor(1000, 1, fails), std::bad_alloc);
      EXPECT_LE(ran, 1000);
      std::atomic<int64_t> sum{0};
      pool.ParallelFor(1000, 7, [&](Range part, int) { sum += part.size(); });
      EXPECT_EQ(sum, 1000);
    }
  }
}

}  // namespace
}  // namespace qnext
