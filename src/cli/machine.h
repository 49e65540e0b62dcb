// What the machine is and what this process uses of it.
#pragma once

#include <cstdint>
#include <string>

#include "bench/facts.h"

namespace qnext {

// CPU, cores, instruction sets, memory, system: whatever of it the system tells.
FactGroup DescribeMachine();

struct ProcessMemory {
  int64_t resident_bytes = 0;  // now
  int64_t peak_bytes = 0;      // the most so far (VmHWM)
};
ProcessMemory ReadProcessMemory();

// Memory that could be had now (MemAvailable); 0: the system does not say.
int64_t AvailableMemory();

// Lets the peak begin anew from what is resident now, so that it says nothing of work that is over. False where the
// system does not let this process do so: the peak is then still that of its whole life.
bool ResetPeakMemory();

// The number of bytes in a line "VmHWM:   1234 kB" of `text`; 0 if there is none. For /proc files.
int64_t ProcBytes(const std::string& text, const std::string& name);

}  // namespace qnext
