// Says on stderr that a long prompt is being read, so that a silent program does not look like a dead one.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <mutex>
#include <thread>

namespace qnext {

// From its making until Stop. On a terminal a line that is rewritten every second and then removed, elsewhere a line
// now and then; a prompt that is read before the first of them says nothing.
class PrefillNotice {
 public:
  struct Times {
    std::chrono::milliseconds first, interval;
  };

  PrefillNotice(std::FILE* out, int64_t tokens);
  PrefillNotice(std::FILE* out, int64_t tokens, bool terminal, Times times);
  ~PrefillNotice() { Stop(); }
  PrefillNotice(const PrefillNotice&) = delete;
  PrefillNotice& operator=(const PrefillNotice&) = delete;

  // Nothing the second time.
  void Stop();

 private:
  void Run();

  std::FILE* out_;
  const int64_t tokens_;
  const bool terminal_;
  const Times times_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopped_ = false;  // guarded by mutex_
  bool shown_ = false;
  std::thread thread_;
};

}  // namespace qnext
