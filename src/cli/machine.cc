#include "cli/machine.h"

#include <fmt/core.h>
#include <sys/utsname.h>

#include <fstream>
#include <sstream>

#include "base/bytes.h"
#include "hw/cpu_features.h"
#include "hw/topology.h"

namespace qnext {
namespace {

std::string ReadProcFile(const char* path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

// The value of the first line "name : value".
std::string ProcValue(const std::string& text, const std::string& name) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind(name, 0) != 0) continue;
    const size_t colon = line.find(':');
    const size_t begin = colon == std::string::npos ? colon : line.find_first_not_of(" \t", colon + 1);
    if (begin != std::string::npos) return line.substr(begin);
  }
  return "";
}

}  // namespace

int64_t ProcBytes(const std::string& text, const std::string& name) {
  std::istringstream value(ProcValue(text, name + ":"));
  int64_t kibibytes = 0;
  return value >> kibibytes ? kibibytes * 1024 : 0;
}

int64_t AvailableMemory() { return ProcBytes(ReadProcFile("/proc/meminfo"), "MemAvailable"); }

FactGroup DescribeMachine() {
  FactGroup group{.title = "machine", .facts = {}};
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) group.facts.push_back({.name = name, .value = value});
  };
  if (const Result<CpuTopology> topology = DetectCpuTopology(); topology.ok()) {
    add("CPU",
        topology->model_name.empty() ? ProcValue(ReadProcFile("/proc/cpuinfo"), "model name") : topology->model_name);
    add("physical cores", std::to_string(topology->cores.size()));
    add("logical CPUs", std::to_string(topology->logical_cpus));
    if (topology->cpu_quota > 0) add("CPU quota", fmt::format("{:.3g} CPUs", topology->cpu_quota));
  }
  add("instruction sets", DetectCpuFeatures().ToString());
  const std::string memory = ReadProcFile("/proc/meminfo");
  add("memory", FormatBytes(ProcBytes(memory, "MemTotal")));
  add("memory available", FormatBytes(ProcBytes(memory, "MemAvailable")));
  utsname system{};
  if (uname(&system) == 0) add("system", fmt::format("{} {}", system.sysname, system.release));
  return group;
}

ProcessMemory ReadProcessMemory() {
  const std::string status = ReadProcFile("/proc/self/status");
  return {.resident_bytes = ProcBytes(status, "VmRSS"), .peak_bytes = ProcBytes(status, "VmHWM")};
}

bool ResetPeakMemory() {
  // "5": VmHWM becomes VmRSS (proc(5), since Linux 4.0).
  std::ofstream file("/proc/self/clear_refs");
  file << "5" << std::flush;
  if (!file) return false;
  // Some systems have the file and do nothing; pages that come meanwhile are few.
  const ProcessMemory memory = ReadProcessMemory();
  constexpr int64_t kMeanwhile = int64_t{16} << 20;
  return memory.peak_bytes <= memory.resident_bytes + kMeanwhile;
}

}  // namespace qnext
