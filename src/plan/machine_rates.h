// What a machine can do, as far as predictions need it: from the file that `qnext bench machine` writes, or one of two
// machines built in.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace qnext {

// Rates in bytes per second.
struct MachineRates {
  struct ThreadRate {
    int64_t threads = 0;
    double rate = 0;
  };
  struct SharedRate {
    int64_t threads = 0;
    double cpu = 0;
    double link = 0;
  };

  std::string name;
  std::vector<ThreadRate> memory_read;  // by rising threads, at least one
  double gpu_read = 0;
  double link = 0;                 // host to device, of one expert at a time
  std::vector<SharedRate> shared;  // both at once, by rising threads; may be empty
  double matmul_flops = 0;         // of the prefill's int4 products; 0: not known
  double step_overhead = 1.5e-3;  // seconds of a decode step that no byte explains: handshakes, launches, small kernels
  std::optional<int64_t> vram_bytes, ram_bytes;

  // DRAM read with that many threads: between what was measured; beyond it, as the most threads measured.
  double MemoryRead(int64_t threads) const;
  // CPU and link while both work. Where that was not measured they share what DRAM gives to the best number of threads.
  SharedRate Both(int64_t threads) const;
};

// "laptop": a 16 GB Ada card (576 GB/s) at 12 GB/s of PCIe, 85 GB/s of DDR5. "reference": the measuring machine (an
// H100 of which 16 GB are used, 16 cores of a Xeon), docs/memory-plan.md.
std::optional<MachineRates> BuiltInMachine(std::string_view name);

// The text of a machine.json (`path` only names it in errors). Errors name the field: kCorrupt, kInvalidArgument. The
// object "gpu", which `bench machine` writes where there is a GPU, is required.
Result<MachineRates> ParseMachineRates(const std::string& text, const std::string& path);

}  // namespace qnext
