// How fast this machine reads memory: the roofline that CPU figures are compared with, measured in the same run.
#pragma once

#include <cstdint>
#include <vector>

#include "base/thread_pool.h"

namespace qnext {

struct MemoryRate {
  int threads = 0;
  double median_gb_per_s = 0;  // 1e9 bytes per second
  double min_gb_per_s = 0;
  double max_gb_per_s = 0;
};

// Reads `bytes` of memory (touched beforehand, far larger than the caches) `repeats` times with all threads of `pool`,
// each its own contiguous part in pieces, and reports the rate. Plain loads, no stores.
MemoryRate MeasureMemoryRead(ThreadPool& pool, int64_t bytes, int repeats);

}  // namespace qnext
