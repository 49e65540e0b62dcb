// What this machine reads from memory at most, measured now: the yardstick of the workbench.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "base/thread_pool.h"

namespace qnext {

// Memory in huge pages where the system grants them, as the expert arena has it.
class HugeBuffer {
 public:
  explicit HugeBuffer(int64_t bytes);

  std::byte* data() { return data_.get(); }
  const std::byte* data() const { return data_.get(); }
  int64_t size() const { return size_; }
  std::span<const std::byte> span() const { return {data_.get(), static_cast<size_t>(size_)}; }

 private:
  struct Free {
    void operator()(std::byte* p) const;
  };
  std::unique_ptr<std::byte, Free> data_;
  int64_t size_;
};

// Seconds since it was made: of the calling thread's CPU time for one thread, of the wall clock for several.
class Stopwatch {
 public:
  explicit Stopwatch(int threads);
  double Seconds() const;

 private:
  double Now() const;

  bool cpu_time_;
  double begin_;
};

// Bytes per second of one pass of plain vector loads over `bytes`, shared by all threads of the pool.
double MeasureReadRate(std::span<const std::byte> bytes, ThreadPool& pool);

}  // namespace qnext
