#include "server/process_memory.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sstream>
#include <string>

namespace qnext::server {
namespace {

// "VmRSS:\t  123 kB" anywhere in the text; 0 if it is not there.
int64_t KilobytesField(std::string_view text, std::string_view name) {
  const size_t at = text.find(name);
  if (at == std::string_view::npos) return 0;
  text.remove_prefix(at + name.size());
  text.remove_prefix(std::min(text.size(), text.find_first_not_of(" \t")));
  int64_t value = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), value).ec != std::errc()) return 0;
  return value * 1024;
}

}  // namespace

ProcessMemory ParseProcessStatus(std::string_view text) {
  return {.resident_bytes = KilobytesField(text, "VmRSS:"), .resident_peak_bytes = KilobytesField(text, "VmHWM:")};
}

ProcessMemory ReadProcessMemory() {
  std::ifstream file("/proc/self/status");
  std::ostringstream text;
  text << file.rdbuf();
  return ParseProcessStatus(text.str());
}

}  // namespace qnext::server
