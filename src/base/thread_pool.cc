#include "base/thread_pool.h"

#include <algorithm>

#include "base/check.h"

namespace qnext {

ThreadPool::ThreadPool(int threads) {
  QNEXT_CHECK(threads >= 1, "a thread pool needs at least the calling thread");
  workers_.reserve(static_cast<size_t>(threads - 1));
  for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { Worker(i); });
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::ParallelFor(int64_t items, int64_t grain, Body body) {
  QNEXT_CHECK(grain >= 1, "grain must be positive");
  if (items <= 0) return;
  if (workers_.empty() || items <= grain) {
    for (int64_t begin = 0; begin < items; begin += grain) body(Range{begin, std::min(items, begin + grain)}, 0);
    return;
  }
  {
    std::lock_guard lock(mutex_);
    body_ = &body;
    items_ = items;
    grain_ = grain;
    next_.store(0, std::memory_order_relaxed);
    running_ = static_cast<int>(workers_.size());
    ++generation_;
  }
  wake_.notify_all();
  RunParts(0);
  std::unique_lock lock(mutex_);
  done_.wait(lock, [this] { return running_ == 0; });
  body_ = nullptr;
}

void ThreadPool::RunParts(int thread) {
  for (;;) {
    const int64_t begin = next_.fetch_add(grain_, std::memory_order_relaxed);
    if (begin >= items_) return;
    (*body_)(Range{begin, std::min(items_, begin + grain_)}, thread);
  }
}

void ThreadPool::Worker(int thread) {
  uint64_t seen = 0;
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return stop_ || generation_ != seen; });
      if (stop_) return;
      seen = generation_;
    }
    RunParts(thread);
    std::lock_guard lock(mutex_);
    if (--running_ == 0) done_.notify_one();
  }
}

}  // namespace qnext
