// MemoryPlan: what will be where, before anything is allocated. Pure arithmetic over byte counts. docs/memory-plan.md
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

// What the rooms above say they need: the composing layer fills this in from their own ...Bytes functions.
struct DeviceSizes {
  int64_t kv_page_tokens = 0;   // positions of one page
  int64_t kv_page_bytes = 0;    // of one page in every full-attention layer, and its entry in the page table
  int64_t state_bytes = 0;      // recurrent matrices and convolution history of one sequence
  int64_t workspace_bytes = 0;  // activations of the largest block
  int64_t context_bytes = 0;    // VRAM that the driver takes for context and code
  int64_t staging_bytes = 0;    // pinned RAM between files or CPU and the GPU
  int64_t process_bytes = 0;    // RAM of the program itself and of the driver in it
};

struct PlanRequest {
  WeightSizes weights;
  DeviceSizes sizes;
  int64_t vram = 0, ram = 0;    // budgets in bytes
  int64_t ctx = 0;              // tokens of each sequence
  int64_t max_ctx = 0;          // positions of the model
  int64_t parallel = 1;         // sequences that decode together
  int64_t prefix_store = 0;     // RAM for saved states
  int64_t fetch_per_layer = 0;  // slots of each MoE layer for experts fetched within a step
};

struct PlanRow {
  std::string component;
  int64_t bytes = 0;
  Place place = Place::kVram;
};

struct MemoryPlan {
  std::vector<PlanRow> rows;  // VRAM first; the expert slots are the last of VRAM
  int64_t vram_budget = 0, ram_budget = 0;
  int64_t vram_used = 0, ram_used = 0;        // the sums of the rows
  int64_t vram_missing = 0, ram_missing = 0;  // beyond the budget; 0: it fits
  SlotGeometry slot;
  int64_t slots = 0;           // expert slots in VRAM
  int64_t fetch_slots = 0;     // of those, for experts fetched within a step
  int64_t cached_experts = 0;  // the others
  int64_t routed_experts = 0;  // of the model
  int64_t longest_ctx = 0;     // tokens that would fit if no expert were cached; 0: none

  bool fits() const { return vram_missing == 0 && ram_missing == 0; }
  double cached_share() const {
    return routed_experts > 0 ? static_cast<double>(cached_experts) / static_cast<double>(routed_experts) : 0;
  }
};

// Slots get what everything else leaves of VRAM. If even without a slot it does not fit, `..._missing` say by how much.
MemoryPlan ComputePlan(const PlanRequest& request);

// A change of options that might make a plan fit.
struct PlanAlternative {
  std::string option;  // "--kv int8"
  PlanRequest request;
};

// OK if the plan fits; otherwise kResourceExhausted with the budget, what is missing, and what would make it fit: those
// of `alternatives` that do, a shorter context, and larger budgets.
Status CheckFits(const PlanRequest& request, const MemoryPlan& plan, const std::vector<PlanAlternative>& alternatives);

}  // namespace qnext
