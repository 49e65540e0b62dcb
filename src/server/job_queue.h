// The bounded queue between the HTTP threads and the engine.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace qnext::server {

// One request for the engine: it is either run or refused, once.
class Job {
 public:
  virtual ~Job() = default;
  // On an engine thread. Must return soon after `cancel` turns true.
  virtual void Run(const std::atomic<bool>& cancel) = 0;
  // Instead of Run, or after Run threw. Any thread; must not block.
  enum class Refusal { kShuttingDown, kAbandoned, kFailed };
  virtual void Refuse(Refusal why, const std::string& detail) = 0;
  // Nobody waits for it any more; such a job is refused instead of run. Any thread.
  virtual bool abandoned() const = 0;
};

// Thread-safe. Jobs run in the order of their submission, `threads` at a time.
class JobQueue {
 public:
  // At most `capacity` jobs wait beside those that run.
  JobQueue(int threads, int64_t capacity);
  ~JobQueue();
  JobQueue(const JobQueue&) = delete;
  JobQueue& operator=(const JobQueue&) = delete;

  enum class Submitted { kAccepted, kFull, kClosed };
  // Takes `job` only if it says kAccepted.
  Submitted Submit(std::unique_ptr<Job>& job);

  // Refuses what waits and whatever is submitted from now on, gives what runs `grace` to finish, then cancels it, and
  // returns when nothing runs. The second call waits for the first.
  void Shutdown(std::chrono::milliseconds grace);

  int64_t waiting() const;
  int64_t running() const;

 private:
  // Moves those who left to `dropped` if the room is needed.
  Submitted SubmitLocked(std::unique_ptr<Job>& job, std::deque<std::unique_ptr<Job>>& dropped);
  void WorkerLoop();

  const int64_t limit_;  // of jobs waiting and running
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::unique_ptr<Job>> waiting_;  // guarded by mutex_, as are the next two
  int64_t running_ = 0;
  bool closed_ = false;
  std::atomic<bool> cancel_{false};
  std::mutex shutdown_mutex_;         // held through Shutdown
  std::vector<std::thread> threads_;  // guarded by shutdown_mutex_ after construction
};

}  // namespace qnext::server
