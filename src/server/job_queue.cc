#include "server/job_queue.h"

#include <algorithm>
#include <exception>
#include <iterator>
#include <utility>

#include "base/check.h"

namespace qnext::server {

JobQueue::JobQueue(int threads, int64_t capacity) : limit_(capacity + threads) {
  QNEXT_CHECK(threads > 0 && capacity >= 0, "a job queue needs a thread and a capacity");
  threads_.reserve(static_cast<size_t>(threads));
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { WorkerLoop(); });
}

JobQueue::~JobQueue() { Shutdown(std::chrono::milliseconds(0)); }

JobQueue::Submitted JobQueue::Submit(std::unique_ptr<Job>& job) {
  std::deque<std::unique_ptr<Job>> dropped;
  const Submitted submitted = SubmitLocked(job, dropped);
  for (const auto& gone : dropped) gone->Refuse(Job::Refusal::kAbandoned, "the client has gone");
  return submitted;
}

JobQueue::Submitted JobQueue::SubmitLocked(std::unique_ptr<Job>& job, std::deque<std::unique_ptr<Job>>& dropped) {
  const std::lock_guard lock(mutex_);
  if (closed_) return Submitted::kClosed;
  const auto used = [this] { return static_cast<int64_t>(waiting_.size()) + running_; };
  if (used() >= limit_) {
    // Those who left make room for those who wait.
    const auto gone = std::stable_partition(waiting_.begin(), waiting_.end(),
                                            [](const std::unique_ptr<Job>& other) { return !other->abandoned(); });
    std::move(gone, waiting_.end(), std::back_inserter(dropped));
    waiting_.erase(gone, waiting_.end());
  }
  if (used() >= limit_) return Submitted::kFull;
  waiting_.push_back(std::move(job));
  changed_.notify_all();
  return Submitted::kAccepted;
}

void JobQueue::WorkerLoop() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return closed_ || !waiting_.empty(); });
    if (waiting_.empty()) return;  // closed
    std::unique_ptr<Job> job = std::move(waiting_.front());
    waiting_.pop_front();
    ++running_;
    lock.unlock();
    try {
      if (job->abandoned()) {
        job->Refuse(Job::Refusal::kAbandoned, "the client has gone");
      } else {
        job->Run(cancel_);
      }
    } catch (const std::exception& problem) {
      job->Refuse(Job::Refusal::kFailed, problem.what());
    }
    job.reset();
    lock.lock();
    --running_;
    changed_.notify_all();
  }
}

void JobQueue::Shutdown(std::chrono::milliseconds grace) {
  const std::lock_guard shutdown_lock(shutdown_mutex_);
  std::deque<std::unique_ptr<Job>> refused;
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    refused.swap(waiting_);
    changed_.notify_all();
  }
  for (const auto& job : refused) job->Refuse(Job::Refusal::kShuttingDown, "the server is shutting down");
  refused.clear();
  {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, grace, [this] { return running_ == 0; });
  }
  cancel_ = true;
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

int64_t JobQueue::waiting() const {
  const std::lock_guard lock(mutex_);
  return static_cast<int64_t>(waiting_.size());
}

int64_t JobQueue::running() const {
  const std::lock_guard lock(mutex_);
  return running_;
}

}  // namespace qnext::server
