// Measures what bench/machine_report.h holds.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/status.h"
#include "bench/machine_report.h"

namespace qnext {

struct MachineProbeOptions {
  int repeats = 7;           // samples of each rate; three where one or two threads walk through gigabytes
  int64_t memory_bytes = 0;  // walked by each pass; 0: several times the L3, within what is free
  std::string disk_path;     // a file or folder; empty: no disk is measured
  std::string device;        // "cpu": no GPU is measured; "cuda": without one it is an error; empty: if there is one
  std::function<void(int64_t step, int64_t steps, const std::string& what)> progress;  // may be empty
};

Result<MachineReport> MeasureMachine(const MachineProbeOptions& options);

// The numbers of threads that are worth measuring on `cores` cores: 1, 2, 4 and so on, what the program would use
// itself, and all.
std::vector<int> ThreadCounts(int cores, int default_threads);

// Time that a machine's CPUs were busy, of a /proc/stat: in ticks, all of it together.
int64_t BusyTicks(const std::string& proc_stat);

}  // namespace qnext
