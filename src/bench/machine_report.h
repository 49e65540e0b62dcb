// MachineReport: what a machine can do, measured without a model, and its two forms. docs/benchmarking.md has the
// format of the JSON, which memory plans read.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bench/facts.h"
#include "bench/statistics.h"

namespace qnext {

struct ThreadRate {
  int threads = 0;
  Spread bytes_per_second;
};

// One expert-sized int4 product after another, one activation row each, with int8 activations.
struct ProductRate {
  std::string path;  // "avx2"
  int threads = 0;
  Spread bytes_per_second;   // of weights
  double share_of_read = 0;  // median against the read rate measured between its passes
};

struct LoopCost {
  int threads = 0;
  Spread seconds;          // of one empty parallel loop, workers polling
  Spread wake_up_seconds;  // workers asleep
};

struct DiskFigures {
  std::string path;
  bool direct = true;
  int threads = 0;
  int64_t bytes = 0;
  Spread bytes_per_second;
};

// A GPU and its link to RAM. Rates are bytes per second.
struct GpuFigures {
  struct Link {
    std::string way;  // "copy"; "gather", the kernel that fetches experts within a step
    int64_t bytes = 0;
    Spread bytes_per_second;
  };
  struct Shared {
    int threads = 0;
    Spread cpu, link;
  };

  std::string name, compute_capability, driver, cuda, pci;
  int64_t memory_bytes = 0, l2_bytes = 0;
  int multiprocessors = 0;
  double clock_hertz = 0;  // the highest; 0: not told
  int64_t memory_probe_bytes = 0;
  bool pinned = true;
  Spread read;
  std::vector<Link> links;     // the first: copies of one expert
  std::vector<Shared> shared;  // CPU and link at once
  Spread handshake_seconds;
  Spread matmul_flops;
};

struct MachineReport {
  std::string date;  // ISO 8601 with time zone

  // What it is.
  std::string cpu;
  std::string features;
  int packages = 0, numa_nodes = 0;
  int cores = 0;       // physical, that the process may use
  int fast_cores = 0;  // of those, of the fastest kind
  int logical_cpus = 0;
  double cpu_quota = 0;  // CPUs; 0: none
  int64_t l3_bytes = 0;
  int64_t memory_bytes = 0, memory_available_bytes = 0;
  int64_t memory_limit_bytes = 0;  // of the control group; 0: none
  double clock_hertz = 0;          // of one busy thread; 0: not measured
  std::vector<Fact> facts;         // more that the system tells, as text

  // What it does.
  int64_t memory_probe_bytes = 0;  // walked by each pass
  std::vector<ThreadRate> read, write, copy;
  std::vector<ProductRate> int4_products;
  std::vector<LoopCost> loops;
  std::optional<DiskFigures> disk;
  std::optional<GpuFigures> gpu;
  std::string no_gpu;  // why it was left out, where it was

  // What else it did meanwhile.
  double load_average = 0;    // of the minute before
  double busy_elsewhere = 0;  // CPUs' worth of time that others used (or the hypervisor withheld) during the run
};

std::string FormatMachineJson(const MachineReport& report);
std::string FormatMachineMarkdown(const MachineReport& report);

}  // namespace qnext
