// What the control groups of this process allow (cgroup v2, v1, or both at once). `root` stands before /proc and /sys,
// for tests.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace qnext {

// The content of a file of /proc or /sys, which say no size beforehand; empty if it cannot be read.
std::string ReadSystemFile(const std::string& path);

// The contents of one group's files about memory; empty where there is none.
struct CgroupMemoryFiles {
  std::string limit;  // memory.max; v1: memory.limit_in_bytes
  std::string used;   // memory.current; v1: memory.usage_in_bytes
  std::string stat;   // memory.stat
};
// Of this process's group and all groups above it.
std::vector<CgroupMemoryFiles> ReadCgroupMemory(const std::string& root = "");

// CPUs' worth of time, the smallest on the way up; 0: no limit.
double CgroupCpuQuota(const std::string& root = "");
// Bytes of RAM, the smallest on the way up; 0: no limit.
int64_t CgroupMemoryLimit(const std::string& root = "");

// The quota in a "cpu.max" line ("200000 100000" is 2 CPUs, "max 100000" no limit: 0), which v1 has in two files
// ("-1 100000" is no limit there).
double ParseCpuMax(const std::string& text);
// The bytes in a limit of memory; "max", or v1's largest number of pages, is no limit: 0.
int64_t ParseMemoryMax(const std::string& text);

}  // namespace qnext
