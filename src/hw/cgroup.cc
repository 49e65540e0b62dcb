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

std::vector<std::string> ReadCgroupFiles(const std::string& name) {
  const std::string membership = ReadSystemFile("/proc/self/cgroup");
  std::string path = "/";
  if (const size_t at = membership.find("0::"); at != std::string::npos) {
    path = membership.substr(at + 3, membership.find('\n', at) - at - 3);
  }
  std::vector<std::string> contents;
  for (;;) {
    std::string text = ReadSystemFile("/sys/fs/cgroup" + path + "/" + name);
    if (!text.empty()) contents.push_back(std::move(text));
    if (path.empty() || path == "/") return contents;
    path.resize(path.find_last_of('/'));
  }
}

double CgroupCpuQuota() {
  double quota = 0;
  for (const std::string& text : ReadCgroupFiles("cpu.max")) {
    const double here = ParseCpuMax(text);
    if (here > 0 && (quota == 0 || here < quota)) quota = here;
  }
  return quota;
}

int64_t CgroupMemoryLimit() {
  int64_t limit = 0;
  for (const std::string& text : ReadCgroupFiles("memory.max")) {
    const int64_t here = ParseMemoryMax(text);
    if (here > 0 && (limit == 0 || here < limit)) limit = here;
  }
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
  std::istringstream in(text);
  int64_t bytes = 0;
  return in >> bytes && bytes > 0 ? bytes : 0;
}

}  // namespace qnext
