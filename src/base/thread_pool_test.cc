#include "base/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
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
  ThreadPool pool(4);
  std::atomic<int64_t> total{0};
  for (int i = 0; i < 2000; ++i) pool.ParallelFor(8, 1, [&](Range part, int) { total += part.size(); });
  EXPECT_EQ(total.load(), 16000);
}

}  // namespace
}  // namespace qnext
