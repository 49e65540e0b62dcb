// What was planned for a loaded model against what system and driver say is used.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "plan/memory_plan.h"

namespace qnext {

struct MemoryUsed {
  int64_t vram = 0;  // of the card, every process; 0: not known
  int64_t ram = 0;   // the most of this process (VmHWM), its huge pages of hugetlbfs, and what the driver pinned for it
};

int64_t PlannedBytes(const std::vector<PlanRow>& rows, Place place);

// Of this process now. `rows`: as planned; those that the driver allocates in RAM do not show in VmHWM.
MemoryUsed ReadMemoryUsed(const std::vector<PlanRow>& rows);
// The same of the texts of /proc/self/status.
int64_t RamUsed(const std::string& proc_status, const std::vector<PlanRow>& rows);

// A line for every row, then planned against used by place. Empty for no rows.
std::string FormatMemoryTable(const std::vector<PlanRow>& rows, const MemoryUsed& used);

}  // namespace qnext
