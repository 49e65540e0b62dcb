// How fast this machine reads, writes and copies memory: the roofline that CPU figures are compared with, measured in
// the same run.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/range.h"
#include "base/thread_pool.h"

namespace qnext {

// Memory like that of the weights: huge pages where the system grants them, first touched by all threads of `pool`.
// Move-only. Throws std::bad_alloc where the system has none.
class ProbeMemory {
 public:
  ProbeMemory(int64_t bytes, ThreadPool& pool);  // rounded up to whole huge pages
  ~ProbeMemory();
  ProbeMemory(ProbeMemory&& other) noexcept;
  ProbeMemory& operator=(ProbeMemory&&) = delete;

  std::byte* data() { return data_; }
  const std::byte* data() const { return data_; }
  int64_t size() const { return size_; }

 private:
  std::byte* data_ = nullptr;
  int64_t size_ = 0;
};

enum class MemoryOperation {
  kRead,   // loads of all of it: the faster of two passes, without and with software prefetch
  kWrite,  // stores past the caches to all of it
  kCopy,   // the first half to the second, stores past the caches
};

// Bytes that one pass moves: those read, those written, or those copied (each read once and written once, counted
// once).
int64_t BytesMoved(MemoryOperation operation, const ProbeMemory& memory);

// One pass by all threads of `pool`, in pieces handed out on demand, as the products of a layer are. Bytes moved per
// second.
double MeasureMemory(MemoryOperation operation, ProbeMemory& memory, ThreadPool& pool);
// The rates of `repeats` passes after one to warm up.
std::vector<double> MeasureMemory(MemoryOperation operation, ProbeMemory& memory, ThreadPool& pool, int repeats);

// A load to measure something else beside: all threads of `pool` read the bytes of `part` (whole huge pages of the
// memory) over and over until `stop`, and add what they have read to `read`.
void ReadUntil(const std::atomic<bool>& stop, const ProbeMemory& memory, Range part, bool prefetch, ThreadPool& pool,
               std::atomic<int64_t>& read);

}  // namespace qnext
