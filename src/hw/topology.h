// Which logical CPUs the workers should run on: physical cores first, fast cores before slow ones, within the limits
// that the process has been given.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"

namespace qnext {

struct CpuCore {
  int cpu = 0;   // the first logical CPU of the core that this process may use
  int kind = 0;  // efficiency rank as the system reports it: higher is faster (P cores), -1 if unknown
};

struct CpuTopology {
  std::vector<CpuCore> cores;  // one entry per usable physical core, fastest kind first, then by number
  std::vector<int> cpus;       // logical, that this process may use
  int logical_cpus = 0;        // their number
  int packages = 1;
  int numa_nodes = 1;
  int64_t l3_bytes = 0;  // of all last-level caches together; 0 if unknown
  double cpu_quota = 0;  // CPUs' worth of time the cgroup grants; 0: no limit
  std::string model_name;

  // Policy. Cores of the fastest kind only, one left for the system and the GPU driver, and no more than the cgroup's
  // quota pays for; at least 1. The slow cores of a hybrid CPU would make every parallel loop wait for them.
  int DefaultThreads() const;
  // Where `threads` threads go, fastest first; more threads than cores are not pinned, nor is anything under a quota
  // smaller than `threads` (the scheduler must be free to move what it throttles).
  std::vector<int> PinnedCpus(int threads) const;
  // Where threads beside those run: on cores that have none of them, else on the other hardware threads of their cores,
  // else anywhere. Empty where nothing is pinned.
  std::vector<int> OtherCpus(int threads) const;
};

// Asks hwloc (which honours the process's affinity mask and cpuset) and the cgroup files.
Result<CpuTopology> DetectCpuTopology();

}  // namespace qnext
