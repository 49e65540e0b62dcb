#include "base/thread_pool.h"

#include <fmt/core.h>
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <span>
#include <system_error>
#include <utility>

#include "base/check.h"

namespace qnext {
namespace {

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  std::this_thread::yield();
#endif
}

// Pinning is an optimisation: a CPU that the system refuses (a cgroup that changed since) leaves the thread where it
// is.
void PinTo(pthread_t thread, std::span<const int> cpus) {
  if (cpus.empty()) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : cpus) CPU_SET(static_cast<size_t>(cpu), &set);
  (void)pthread_setaffinity_np(thread, sizeof(set), &set);
}

void PinTo(pthread_t thread, const std::vector<int>& cpus, size_t index) {
  if (index < cpus.size()) PinTo(thread, std::span(cpus).subspan(index, 1));
}

// Polls until `done()` or until `limit` has passed; true if done.
template <typename Done>
bool SpinUntil(std::chrono::microseconds limit, const Done& done) {
  const auto end = std::chrono::steady_clock::now() + limit;
  do {
    for (int i = 0; i < 64; ++i) {
      if (done()) return true;
      Pause();
    }
  } while (std::chrono::steady_clock::now() < end);
  return done();
}

}  // namespace

ThreadPool::ThreadPool(ThreadPoolOptions options) : options_(std::move(options)) {
  QNEXT_CHECK(options_.threads >= 1, "a thread pool needs at least the calling thread");
  workers_.reserve(static_cast<size_t>(options_.threads - 1));
  for (int i = 1; i < options_.threads; ++i) {
    try {
      workers_.emplace_back([this, i] { Worker(i); });
    } catch (const std::system_error& error) {
      StopWorkers();
      throw std::system_error(error.code(), fmt::format("the system does not start {} threads", options_.threads));
    } catch (...) {
      StopWorkers();
      throw;
    }
    PinTo(workers_.back().native_handle(), options_.cpus, static_cast<size_t>(i));
  }
}

ThreadPool::~ThreadPool() { StopWorkers(); }

void ThreadPool::StopWorkers() {
  stop_ = true;
  generation_.fetch_add(1, std::memory_order_seq_cst);
  generation_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::PinCallingThread() const { PinTo(pthread_self(), options_.cpus, 0); }

void ThreadPool::MoveOtherThread() const { PinTo(pthread_self(), options_.other_cpus); }

void ThreadPool::ParallelFor(int64_t items, int64_t grain, Body body) {
  QNEXT_CHECK(grain >= 1, "grain must be positive");
  if (items <= 0) return;
  if (workers_.empty() || items <= grain) {
    for (int64_t begin = 0; begin < items; begin += grain) body(Range{begin, std::min(items, begin + grain)}, 0);
    return;
  }
  body_ = &body;
  items_ = items;
  grain_ = grain;
  next_.store(0, std::memory_order_relaxed);
  running_.store(static_cast<uint32_t>(workers_.size()), std::memory_order_relaxed);
  // Sequentially consistent with the sleeper's count: either it sees the new generation or we see it sleep.
  generation_.fetch_add(1, std::memory_order_seq_cst);
  if (sleeping_.load(std::memory_order_seq_cst) > 0) generation_.notify_all();
  RunParts(0);
  const auto finished = [this] { return running_.load(std::memory_order_acquire) == 0; };
  while (!SpinUntil(options_.spin, finished)) {
    const uint32_t left = running_.load(std::memory_order_acquire);
    if (left != 0) running_.wait(left, std::memory_order_acquire);
  }
  body_ = nullptr;
  if (failed_.load(std::memory_order_relaxed)) {
    failed_.store(false, std::memory_order_relaxed);
    std::rethrow_exception(std::exchange(failure_, nullptr));
  }
}

void ThreadPool::RunParts(int thread) {
  try {
    for (;;) {
      const int64_t begin = next_.fetch_add(grain_, std::memory_order_relaxed);
      if (begin >= items_) return;
      (*body_)(Range{begin, std::min(items_, begin + grain_)}, thread);
    }
  } catch (...) {
    next_.store(items_, std::memory_order_relaxed);
    // The end of the loop, which ParallelFor awaits, publishes this to it.
    if (!failed_.exchange(true, std::memory_order_relaxed)) failure_ = std::current_exception();
  }
}

void ThreadPool::Worker(int thread) {
  uint32_t seen = 0;
  for (;;) {
    const auto raised = [&] { return generation_.load(std::memory_order_acquire) != seen; };
    if (!SpinUntil(options_.spin, raised)) {
      sleeping_.fetch_add(1, std::memory_order_seq_cst);
      generation_.wait(seen, std::memory_order_seq_cst);
      sleeping_.fetch_sub(1, std::memory_order_relaxed);
    }
    // A worker joins every loop, so the generation cannot have moved by more than one.
    seen = generation_.load(std::memory_order_acquire);
    if (stop_) return;
    RunParts(thread);
    if (running_.fetch_sub(1, std::memory_order_acq_rel) == 1) running_.notify_one();
  }
}

}  // namespace qnext
