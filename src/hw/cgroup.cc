#include "hw/cgroup.h"

#include <cstdio>
#include <cstdlib>
#include <sstream>

namespace qnext {

std::string ReadSystemFile(const std::string& path) {
  std::string text;
  std::FILE* file = std::fopen(path.c_str(), "re");
  if (file == nullptr) return text;
  char buffer[4096];
  for (size_t n = 0; (n = std::fread(buffer, 1, sizeof(buffer), file)) > 0;) text.append(buffer, n);
  std::fclose(file);
  return text;
}

namespace {

constexpr char kMounts[] = "/sys/fs/cgroup";

// Folders of this process's group and all groups above it, the innermost first. A container often sees its own group as
// the topmost one while its membership names the host's path; what does not exist reads as empty.
void AddWayUp(const std::string& mount, std::string path, std::vector<std::string>* folders) {
  if (!path.starts_with('/')) path = "/";
  for (;;) {
    folders->push_back(mount + path + (path.ends_with('/') ? "" : "/"));
    if (path.empty() || path == "/") return;
    path.resize(path.find_last_of('/'));
  }
}

bool IsInList(const std::string& list, const std::string& name) {
  return ("," + list + ",").find("," + name + ",") != std::string::npos;
}

// Version 2 has one hierarchy for everything ("0::/path"), version 1 one for each set of controllers
// ("4:cpu,cpuacct:/path").
struct Folders {
  std::vector<std::string> v2, v1;
};

Folders FindFolders(const std::string& root, const std::string& controller) {
  Folders folders;
  std::istringstream lines(ReadSystemFile(root + "/proc/self/cgroup"));
  std::string v2_path = "/";
  for (std::string line; std::getline(lines, line);) {
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string list = line.substr(first + 1, second - first - 1), path = line.substr(second + 1);
    if (list.empty()) {
      v2_path = path;
    } else if (IsInList(list, controller)) {
      AddWayUp(root + kMounts + "/" + controller, path, &folders.v1);
      if (list != controller) AddWayUp(root + kMounts + "/" + list, path, &folders.v1);  // the other usual name
    }
  }
  AddWayUp(root + kMounts, v2_path, &folders.v2);
  return folders;
}

template <typename T>
void TakeLeast(T limit, T* least) {
  if (limit > 0 && (*least == 0 || limit < *least)) *least = limit;
}

}  // namespace

std::vector<CgroupMemoryFiles> ReadCgroupMemory(const std::string& root) {
  const Folders folders = FindFolders(root, "memory");
  std::vector<CgroupMemoryFiles> groups;
  for (const std::string& folder : folders.v2) {
    groups.push_back({.limit = ReadSystemFile(folder + "memory.max"),
                      .used = ReadSystemFile(folder + "memory.current"),
                      .stat = ReadSystemFile(folder + "memory.stat")});
  }
  for (const std::string& folder : folders.v1) {
    groups.push_back({.limit = ReadSystemFile(folder + "memory.limit_in_bytes"),
                      .used = ReadSystemFile(folder + "memory.usage_in_bytes"),
                      .stat = ReadSystemFile(folder + "memory.stat")});
  }
  return groups;
}

double CgroupCpuQuota(const std::string& root) {
  const Folders folders = FindFolders(root, "cpu");
  double quota = 0;
  for (const std::string& folder : folders.v2) TakeLeast(ParseCpuMax(ReadSystemFile(folder + "cpu.max")), &quota);
  for (const std::string& folder : folders.v1) {
    TakeLeast(
        ParseCpuMax(ReadSystemFile(folder + "cpu.cfs_quota_us") + " " + ReadSystemFile(folder + "cpu.cfs_period_us")),
        &quota);
  }
  return quota;
}

int64_t CgroupMemoryLimit(const std::string& root) {
  int64_t limit = 0;
  for (const CgroupMemoryFiles& group : ReadCgroupMemory(root)) TakeLeast(ParseMemoryMax(group.limit), &limit);
  return limit;
}

double ParseCpuMax(const std::string& text) {
  std::istringstream in(text);
  std::string quota;
  double period = 0;
  if (!(in >> quota >> period) || quota == "max" || period <= 0) return 0;
  char* end = nullptr;
  const double microseconds = std::strtod(quota.c_str(), &end);
  return end != quota.c_str() && microseconds > 0 ? microseconds / period : 0;
}

int64_t ParseMemoryMax(const std::string& text) {
  constexpr int64_t kUnlimited = int64_t{1} << 62;  // v1 writes the largest number less a part of a page
  std::istringstream in(text);
  int64_t bytes = 0;
  return in >> bytes && bytes > 0 && bytes < kUnlimited ? bytes : 0;
}

}  // namespace qnext
