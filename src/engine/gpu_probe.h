// Measures what a GPU and its link to RAM can do for this engine: with the engine's own kernels, and without a model.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "hw/memory_probe.h"

namespace qnext {

// An expert of the 80B, which figures of the link are for.
constexpr int64_t kProbeExpertBytes = 1622016;

struct GpuProbeOptions {
  int repeats = 7;
  std::vector<int> threads;                                         // of the rates of CPU and link together
  std::function<std::unique_ptr<ThreadPool>(int threads)> pool;     // its calling thread is not pinned yet
  std::function<void(const std::string& what)> progress = nullptr;  // may be empty
};

// Rates are samples, in bytes per second.
struct GpuMeasurements {
  struct Link {
    std::string way;  // "copy", or "gather": the kernel that fetches experts within a step
    int64_t bytes = 0;
    std::vector<double> rate;
  };
  struct Shared {
    int threads = 0;
    std::vector<double> cpu, link;
  };

  std::string name, compute_capability, driver, cuda, pci;
  int64_t memory_bytes = 0, l2_bytes = 0;
  int multiprocessors = 0;
  double clock_hertz = 0;          // the highest; 0: not told
  int64_t memory_probe_bytes = 0;  // RAM that copies and reads walk through
  bool pinned = true;              // false: the system refused, and copies were staged
  std::vector<double> read;
  std::vector<Link> links;  // the first: copies of one expert
  std::vector<Shared> shared;
  std::vector<double> handshake_seconds;
  std::vector<double> matmul_flops;  // operations per second of a prompt's grouped int4 products
};

// The GPU that models would run on. `memory`, of a few GB, holds bit patterns that are small as 16-bit floats; it is
// pinned meanwhile. An error says why nothing was measured: no GPU that can be used, or a build without CUDA.
Result<GpuMeasurements> MeasureGpu(const ProbeMemory& memory, const GpuProbeOptions& options);

}  // namespace qnext
