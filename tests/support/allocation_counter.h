// Counts heap allocations of the whole process, in every thread, while someone wants to know.
#pragma once

#include <cstdint>

namespace qnext {

// False under sanitizers, which bring their own malloc: counts are then always 0, and tests that need them must be
// skipped.
bool AllocationsAreCounted();

// One at a time. Every malloc, calloc, realloc, aligned_alloc, posix_memalign, memalign (and so every operator new) of
// any thread since it was made.
class AllocationCount {
 public:
  AllocationCount();
  ~AllocationCount();
  AllocationCount(const AllocationCount&) = delete;
  AllocationCount& operator=(const AllocationCount&) = delete;

  int64_t count() const;
};

}  // namespace qnext
