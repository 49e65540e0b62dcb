// Which GPUs there are, whether this program can use one, and why not. Free of CUDA's headers.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"

namespace qnext::cuda {

struct GpuInfo {
  int ordinal = 0;
  std::string name;
  int major = 0, minor = 0;  // compute capability
  std::string pci_bus_id;    // "0000:01:00.0"
  int64_t total_bytes = 0;
  int multiprocessors = 0;
  int64_t l2_bytes = 0;
  double clock_hertz = 0;  // the highest of the processors; 0: not told
};

// What the driver answers when asked. Versions as CUDA writes them: 13020 is 13.2.
struct GpuProbe {
  int driver_version = 0;   // newest CUDA that the driver runs; 0: no driver
  int runtime_version = 0;  // the CUDA that this program was built with
  std::string error;        // what the driver said when asked for its GPUs; empty: nothing is wrong
  std::vector<GpuInfo> gpus;
};
// Creates no context and takes no GPU memory. Never fails: that there is no driver is an answer too.
GpuProbe ProbeGpus();

// The first GPU that this program can run on, or the reason why there is none (kUnavailable; kUnsupported where a newer
// driver or card would do). A pure function of the probe.
Result<GpuInfo> ChooseGpu(const GpuProbe& probe);

// "13.2".
std::string CudaVersionName(int version);

// Makes the GPU the calling thread's and creates its context; an error if this build has no code for it or it does not
// answer. Every thread that uses the GPU calls UseGpu once.
Status OpenGpu(const GpuInfo& gpu);
Status UseGpu(const GpuInfo& gpu);

// Of the calling thread's GPU, as the driver counts it (other processes and this process's context included).
struct GpuMemory {
  int64_t free_bytes = 0;
  int64_t total_bytes = 0;
};
Result<GpuMemory> ReadGpuMemory();

}  // namespace qnext::cuda
