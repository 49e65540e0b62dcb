// A fixed set of worker threads that share loops over work items.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "base/function_ref.h"
#include "base/range.h"

namespace qnext {

// The calling thread works too, so ThreadPool(1) starts no thread. ParallelFor may be called by one thread at a time
// and not from inside a loop body. No allocation per call.
class ThreadPool {
 public:
  // `threads` >= 1 counts the calling thread.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls body(part, thread) for disjoint parts that together cover [0, items), each of at most `grain` items, and
  // returns when all are done. Parts are handed out on demand; `thread` is in [0, threads()) and no two calls with the
  // same `thread` run at once. Results must not depend on which thread ran which part.
  void ParallelFor(int64_t items, int64_t grain, FunctionRef<void(Range part, int thread)> body);

 private:
  using Body = FunctionRef<void(Range, int)>;

  void Worker(int thread);
  void RunParts(int thread);

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable done_;
  uint64_t generation_ = 0;  // guarded by mutex_: counts loops, so that a worker joins each once
  int running_ = 0;          // guarded by mutex_: workers that have not finished the current loop
  bool stop_ = false;        // guarded by mutex_

  // The current loop; written before generation_ is raised.
  const Body* body_ = nullptr;
  int64_t items_ = 0;
  int64_t grain_ = 1;
  std::atomic<int64_t> next_{0};
};

}  // namespace qnext
