// What the control groups of this process allow (cgroup v2).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace qnext {

// The content of a file of /proc or /sys, which say no size beforehand; empty if it cannot be read.
std::string ReadSystemFile(const std::string& path);

// The contents of the file `name` in this process's group and all groups above it, where there is one.
std::vector<std::string> ReadCgroupFiles(const std::string& name);

// CPUs' worth of time, the smallest on the way up; 0: no limit.
double CgroupCpuQuota();
// Bytes of RAM (memory.max), the smallest on the way up; 0: no limit.
int64_t CgroupMemoryLimit();

// The quota in a "cpu.max" line ("200000 100000" is 2 CPUs, "max 100000" no limit: 0).
double ParseCpuMax(const std::string& text);
// The bytes in a "memory.max" line; "max" is no limit: 0.
int64_t ParseMemoryMax(const std::string& text);

}  // namespace qnext
