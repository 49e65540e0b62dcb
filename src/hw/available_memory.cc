#include "hw/available_memory.h"

#include <sys/resource.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>

#include "hw/cgroup.h"

namespace qnext {
namespace {

// The number after `key` at the beginning of a line.
std::optional<int64_t> NumberAfter(const std::string& text, std::string_view key) {
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = std::string_view(text).substr(at, end - at);
    if (line.substr(0, key.size()) == key) {
      const size_t digits = line.find_first_of("0123456789", key.size());
      int64_t value = 0;
      if (digits == std::string_view::npos ||
          std::from_chars(line.data() + digits, line.data() + line.size(), value).ec != std::errc()) {
        return std::nullopt;
      }
      return value;
    }
    at = end + 1;
  }
  return std::nullopt;
}

}  // namespace

int64_t ParseKilobytes(const std::string& text, std::string_view key) {
  const std::optional<int64_t> value = NumberAfter(text, std::string(key) + ":");
  return value && *value <= std::numeric_limits<int64_t>::max() / 1024 ? *value * 1024 : -1;
}

int64_t CgroupMemoryLeft(const std::string& max, const std::string& current, const std::string& stat) {
  const int64_t limit = ParseMemoryMax(max);
  const std::optional<int64_t> used = NumberAfter(current, "");
  if (limit <= 0 || !used) return -1;
  // Version 1 counts groups below this one in figures of their own names, and in what is used.
  const auto counted = [&stat](const std::string& name) {
    return NumberAfter(stat, "total_" + name).value_or(NumberAfter(stat, name).value_or(0));
  };
  const int64_t cache = counted("inactive_file ") + counted("active_file ");
  return std::max<int64_t>(0, limit - std::max<int64_t>(0, *used - cache));
}

AvailableMemory GetAvailableMemory() {
  AvailableMemory least{.bytes = std::numeric_limits<int64_t>::max(), .limit = ""};
  const auto take = [&least](int64_t bytes, const char* limit) {
    if (bytes >= 0 && bytes < least.bytes) least = {.bytes = bytes, .limit = limit};
  };
  take(ParseKilobytes(ReadSystemFile("/proc/meminfo"), "MemAvailable"), "the system");
  for (const CgroupMemoryFiles& group : ReadCgroupMemory()) {
    take(CgroupMemoryLeft(group.limit, group.used, group.stat), "the control group");
  }
  struct rlimit space = {};
  if (::getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur != RLIM_INFINITY) {
    const int64_t used = std::max<int64_t>(0, ParseKilobytes(ReadSystemFile("/proc/self/status"), "VmSize"));
    take(std::max<int64_t>(0, static_cast<int64_t>(space.rlim_cur) - used), "the address space (ulimit -v)");
  }
  return least;
}

}  // namespace qnext
