// How much memory this process can still take.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace qnext {

struct AvailableMemory {
  int64_t bytes = 0;
  std::string limit;  // what sets it: "the system", "the control group" or "the address space (ulimit -v)"
};

// The least of: what the system can hand out without swapping (MemAvailable; page cache counts as free), what the
// control groups of this process leave, what its limit of address space leaves. No limit known: the largest
// number.
AvailableMemory GetAvailableMemory();

// The value of "MemAvailable:   123 kB" or "VmSize:" in bytes; -1: no such line.
int64_t ParseKilobytes(const std::string& text, std::string_view key);
// What a group with these files (CgroupMemoryFiles) has left, page cache taken as free; -1: no limit.
int64_t CgroupMemoryLeft(const std::string& max, const std::string& current, const std::string& stat);

}  // namespace qnext
