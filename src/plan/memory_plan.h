// MemoryPlan: what will be where, before anything is allocated: the rows of model/device_sizes.h, against budgets.
// docs/memory-plan.md
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "plan/expert_slots.h"
#include "plan/weight_sizes.h"

namespace qnext {

enum class Place : uint8_t { kVram, kRam };
std::string_view PlaceName(Place place);  // "VRAM", "RAM"

// What the model's layout says that estimates need.
struct DeviceSizes {
  int64_t kv_page_tokens = 0;  // positions of one page
  int64_t kv_page_bytes = 0;   // of one page in every full-attention layer, and its entry in the page table
  int64_t state_bytes = 0;     // recurrent matrices and convolution history of one sequence
};

// What a plan was made for.
struct PlanRequest {
  WeightSizes weights;
  DeviceSizes sizes;
};

struct PlanRow {
  std::string component;
  int64_t bytes = 0;
  Place place = Place::kVram;
};

struct MemoryPlan {
  std::vector<PlanRow> rows;  // VRAM first
  int64_t vram_budget = 0, ram_budget = 0;
  int64_t vram_used = 0, ram_used = 0;        // the sums of the rows
  int64_t vram_missing = 0, ram_missing = 0;  // beyond the budget; 0: it fits
  SlotGeometry slot;
  int64_t cached_experts = 0;  // slots in VRAM for copies of routed experts; all of them where everything fits
  int64_t fetch_slots = 0;     // of those, for experts fetched within a step: what they hold changes too fast to count
  int64_t routed_experts = 0;  // of the model
  int64_t longest_ctx = 0;     // tokens that would fit if no expert were cached; 0: none

  bool fits() const { return vram_missing == 0 && ram_missing == 0; }
  double cached_share() const {
    if (routed_experts == 0) return 0;
    return static_cast<double>(cached_experts - fetch_slots) / static_cast<double>(routed_experts);
  }
};

// Sums and what is missing, of rows and budgets.
void AddUp(MemoryPlan& plan);

// A change of options, and the plan that it makes.
struct PlanAlternative {
  std::string option;  // "--kv int8"
  MemoryPlan plan;
};

// OK if the plan (for sequences of `ctx` tokens) fits; otherwise kResourceExhausted with the budget, what is missing,
// and what would make it fit: those of `alternatives` that do, a shorter context, and larger budgets.
Status CheckFits(const MemoryPlan& plan, int64_t ctx, const std::vector<PlanAlternative>& alternatives);

}  // namespace qnext
