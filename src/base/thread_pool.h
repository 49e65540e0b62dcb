// A fixed set of worker threads that share loops over work items.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <thread>
#include <vector>

#include "base/function_ref.h"
#include "base/range.h"

namespace qnext {

struct ThreadPoolOptions {
  int threads = 1;  // counts the calling thread, so 1 starts no thread
  // How long an idle thread polls for the next loop before it sleeps in the kernel. A decode step is some hundred short
  // loops: waking a sleeper costs about as much as one of them. After a step, all threads sleep within this time.
  std::chrono::microseconds spin{50};
  // Logical CPUs to pin the threads to, the calling thread first; empty: not pinned. Shorter lists pin only the first
  // threads.
  std::vector<int> cpus;
  // Where other threads that work beside them go; empty: wherever the thread that starts them is.
  std::vector<int> other_cpus;
};

// ParallelFor may be called by one thread at a time (the one that is "thread 0") and not from inside a loop body. No
// allocation per call.
class ThreadPool {
 public:
  // Throws std::system_error, which says how many were wanted, where the system starts no more threads; those already
  // started are gone then.
  explicit ThreadPool(ThreadPoolOptions options);
  explicit ThreadPool(int threads) : ThreadPool(ThreadPoolOptions{.threads = threads}) {}
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls body(part, thread) for disjoint parts that together cover [0, items), each of at most `grain` items, and
  // returns when all are done. Parts are handed out on demand; `thread` is in [0, threads()) and no two calls with the
  // same `thread` run at once. Results must not depend on which thread ran which part. An exception that a body throws
  // ends the loop early and comes out of this call; of several, one.
  void ParallelFor(int64_t items, int64_t grain, FunctionRef<void(Range part, int thread)> body);

  // Pins the calling thread to the first of options.cpus; the thread that will call ParallelFor does this once.
  void PinCallingThread() const;
  // Moves the calling thread, which is none of the pool's, to options.other_cpus: a thread starts where the one that
  // started it is pinned, and would share that one's CPU.
  void MoveOtherThread() const;

 private:
  using Body = FunctionRef<void(Range, int)>;

  void Worker(int thread);
  void StopWorkers();
  void RunParts(int thread);

  const ThreadPoolOptions options_;
  std::vector<std::thread> workers_;

  // The current loop. Written by ParallelFor before it raises generation_; read by the workers after they saw it
  // raised.
  const Body* body_ = nullptr;
  int64_t items_ = 0;
  int64_t grain_ = 1;
  bool stop_ = false;
  std::atomic<bool> failed_{false};
  std::exception_ptr failure_;  // of the body that raised failed_

  // Apart from each other, because all threads poll or change them.
  alignas(64) std::atomic<uint32_t> generation_{0};  // counts loops; every worker joins each loop once
  alignas(64) std::atomic<int64_t> next_{0};         // first item not yet handed out
  alignas(64) std::atomic<uint32_t> running_{0};     // workers that have not finished the current loop
  alignas(64) std::atomic<uint32_t> sleeping_{0};    // workers that wait in the kernel
};

}  // namespace qnext
