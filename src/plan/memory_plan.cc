#include "plan/memory_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/bytes.h"

namespace qnext {
namespace {

// Whole bytes where the rounded figure would hide the point.
std::string Exactly(int64_t bytes) {
  return bytes < 1024 ? FormatBytes(bytes) : fmt::format("{} ({} bytes)", FormatBytes(bytes), bytes);
}

std::string Join(const std::vector<std::string>& parts, std::string_view between) {
  std::string text;
  for (const std::string& part : parts) text.append(text.empty() ? "" : between).append(part);
  return text;
}

}  // namespace

std::string_view PlaceName(Place place) { return place == Place::kVram ? "VRAM" : "RAM"; }

void AddUp(MemoryPlan& plan) {
  plan.vram_used = plan.ram_used = 0;
  for (const PlanRow& row : plan.rows) (row.place == Place::kVram ? plan.vram_used : plan.ram_used) += row.bytes;
  plan.vram_missing = std::max<int64_t>(0, plan.vram_used - plan.vram_budget);
  plan.ram_missing = std::max<int64_t>(0, plan.ram_used - plan.ram_budget);
}

Status CheckFits(const MemoryPlan& plan, int64_t ctx, const std::vector<PlanAlternative>& alternatives) {
  if (plan.fits()) return Status();
  std::vector<std::string> missing, fixes;
  if (plan.vram_missing > 0) {
    missing.push_back(
        fmt::format("--vram: {} is too small by {}", FormatBytes(plan.vram_budget), Exactly(plan.vram_missing)));
  }
  if (plan.ram_missing > 0) {
    missing.push_back(
        fmt::format("--ram: {} is too small by {}", FormatBytes(plan.ram_budget), Exactly(plan.ram_missing)));
  }
  if (plan.ram_missing == 0 && plan.longest_ctx > 0 && plan.longest_ctx < ctx) {
    fixes.push_back(fmt::format("--ctx {}", plan.longest_ctx));
  }
  for (const PlanAlternative& alternative : alternatives) {
    if (alternative.plan.fits()) fixes.push_back(alternative.option);
  }
  std::vector<std::string> budgets;
  if (plan.vram_missing > 0) budgets.push_back(fmt::format("--vram {}", plan.vram_used));
  if (plan.ram_missing > 0) budgets.push_back(fmt::format("--ram {}", plan.ram_used));
  fixes.push_back(Join(budgets, " "));
  return ResourceExhausted(fmt::format("{}; it would fit with {}", Join(missing, " and "), Join(fixes, ", or ")));
}

}  // namespace qnext
