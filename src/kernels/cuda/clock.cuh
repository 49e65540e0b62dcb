// The GPU's own clock. Only .cu files include this.
#pragma once

#include <cstdint>

namespace qnext::cuda {

// Nanoseconds since some moment, the same for all blocks; it moves in steps of up to a microsecond.
__device__ inline uint64_t GlobalNanoseconds() {
  uint64_t now;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
  return now;
}

}  // namespace qnext::cuda
