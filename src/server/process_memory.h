// What the kernel says this process holds.
#pragma once

#include <cstdint>
#include <string_view>

namespace qnext::server {

struct ProcessMemory {
  int64_t resident_bytes = 0;       // VmRSS
  int64_t resident_peak_bytes = 0;  // VmHWM
};

ProcessMemory ReadProcessMemory();  // zeros where /proc is not there
ProcessMemory ParseProcessStatus(std::string_view text);

}  // namespace qnext::server
