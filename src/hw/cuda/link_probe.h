// What the link between RAM and GPU gives: alone, beside a CPU that reads the same RAM, and as a round trip. The
// figures that memory plans and the bound of a decode step are made of.
#pragma once

#include <cstdint>
#include <vector>

#include "base/range.h"
#include "base/status.h"
#include "base/thread_pool.h"
#include "hw/cuda/pinned_range.h"
#include "hw/memory_probe.h"

struct CUstream_st;

namespace qnext::cuda {

// Memory and how it is pinned; both outlive the measurement.
struct LinkMemory {
  const ProbeMemory& memory;
  const PinnedRange& pinned;
};

// Bytes per second of `repeats` samples: copies of `piece` bytes, one after another in one stream, each of its own part
// of the memory, so that no cache serves them.
Result<std::vector<double>> MeasureCopies(const LinkMemory& from, int64_t piece, int repeats, CUstream_st* stream);

struct SharedRates {
  std::vector<double> cpu, link;  // bytes per second by window
  double sum() const;             // of the medians
};
// The threads of `pool` read the first half of the memory while copies of `piece` bytes leave the second; both run
// through all windows, and what passes within a window counts. The calling thread only feeds the link; it must not be
// pinned to a core of the pool's.
Result<SharedRates> MeasureShared(const LinkMemory& from, ThreadPool& pool, bool prefetch, int64_t piece, int windows,
                                  CUstream_st* stream);

// Seconds of one handshake, in `repeats` samples: within a captured graph a kernel writes 8 KiB and a word to mapped
// memory, waits for the CPU's word, and reads 8 KiB. A sample is the mean of a graph's 48, a step of the 80B.
constexpr int kHandshakesOfGraph = 48;
Result<std::vector<double>> MeasureHandshakes(int repeats, CUstream_st* stream);

// The launch of one; all but `device` and `round` are mapped host memory.
constexpr int64_t kHandshakeFloats = 2048;
struct HandshakeArgs {
  float* to_cpu;
  const float* from_cpu;
  float* device;
  uint32_t* posted;  // the number of the handshake, when to_cpu is there
  uint32_t* done;    // the same, when from_cpu is
  uint32_t* abort;   // not 0: nobody waits any more
  uint32_t* round;   // graphs that have run
  uint32_t index;    // within the graph
};
Status LaunchHandshake(const HandshakeArgs& args, CUstream_st* stream);

}  // namespace qnext::cuda
