#include "cli/memory_table.h"

#include <fmt/format.h>

#include <fstream>
#include <sstream>

#include "base/bytes.h"
#include "cli/machine.h"
#include "engine/device.h"

namespace qnext {

int64_t PlannedBytes(const std::vector<PlanRow>& rows, Place place) {
  int64_t bytes = 0;
  for (const PlanRow& row : rows) bytes += row.place == place ? row.bytes : 0;
  return bytes;
}

int64_t RamUsed(const std::string& proc_status, const std::vector<PlanRow>& rows) {
  int64_t pinned = 0;
  for (const PlanRow& row : rows) {
    // Experts are the program's own pages, pinned where they lie.
    const bool own = row.component == "routed experts" || row.component == "program and driver";
    if (row.place == Place::kRam && !own) pinned += row.bytes;
  }
  return ProcBytes(proc_status, "VmHWM") + ProcBytes(proc_status, "HugetlbPages") + pinned;
}

MemoryUsed ReadMemoryUsed(const std::vector<PlanRow>& rows) {
  MemoryUsed used;
  if (rows.empty()) return used;
  if (const Result<DeviceMemory> memory = ReadDeviceMemory(); memory.ok()) used.vram = memory->used;
  std::ostringstream status;
  status << std::ifstream("/proc/self/status").rdbuf();
  used.ram = RamUsed(status.str(), rows);
  return used;
}

std::string FormatMemoryTable(const std::vector<PlanRow>& rows, const MemoryUsed& used) {
  if (rows.empty()) return "";
  std::string text = fmt::format("{:<32} {:>10} {:>15}\n", "memory, planned", "", "bytes");
  for (const PlanRow& row : rows) {
    text += fmt::format("  {:<5}{:<25} {:>10} {:>15}\n", PlaceName(row.place), row.component, FormatBytes(row.bytes),
                        row.bytes);
  }
  const auto line = [&](Place place, int64_t actual, const char* what) {
    const int64_t planned = PlannedBytes(rows, place);
    text += fmt::format("  {:<5}{} planned, {} used ({})\n", PlaceName(place), FormatBytes(planned),
                        actual > 0 ? FormatBytes(actual) : "not known", what);
  };
  line(Place::kVram, used.vram, "of the card, every process");
  line(Place::kRam, used.ram, "VmHWM, hugetlb pages and buffers of the driver");
  return text;
}

}  // namespace qnext
