#include "plan/memory_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/bytes.h"
#include "base/check.h"
#include "base/range.h"

namespace qnext {
namespace {

// 2 MiB: the arena lies on huge pages.
constexpr int64_t kHugePage = int64_t{2} << 20;

class Builder {
 public:
  explicit Builder(const PlanRequest& request) : request_(request) {}

  MemoryPlan Build() {
    QNEXT_CHECK(request_.parallel > 0 && request_.ctx > 0 && request_.sizes.kv_page_tokens > 0,
                "a plan is for at least one sequence of one token");
    plan_.vram_budget = request_.vram;
    plan_.ram_budget = request_.ram;
    plan_.slot = SlotGeometry::For(request_.weights.expert_bytes);
    plan_.routed_experts = request_.weights.routed_experts();
    AddFixedVram();
    AddKvCache();
    AddSlots();
    AddRam();
    plan_.vram_missing = std::max<int64_t>(0, plan_.vram_used - plan_.vram_budget);
    plan_.ram_missing = std::max<int64_t>(0, plan_.ram_used - plan_.ram_budget);
    return std::move(plan_);
  }

 private:
  void Add(std::string component, int64_t bytes, Place place) {
    if (bytes == 0) return;
    (place == Place::kVram ? plan_.vram_used : plan_.ram_used) += bytes;
    plan_.rows.push_back({.component = std::move(component), .bytes = bytes, .place = place});
  }

  void AddFixedVram() {
    const DeviceSizes& sizes = request_.sizes;
    for (const ComponentBytes& dense : request_.weights.dense) {
      Add(std::string(ComponentName(dense.component)), dense.bytes, Place::kVram);
    }
    if (request_.weights.tied) Add("embedding and head", request_.weights.embedding_bytes, Place::kVram);
    Add("orders of expert inputs", request_.weights.order_bytes, Place::kVram);
    Add("recurrent states", request_.parallel * sizes.state_bytes, Place::kVram);
    Add("workspace", sizes.workspace_bytes, Place::kVram);
    Add("CUDA context", sizes.context_bytes, Place::kVram);
  }

  // All sequences can be full at once.
  void AddKvCache() {
    const DeviceSizes& sizes = request_.sizes;
    const int64_t page = request_.parallel * sizes.kv_page_bytes;
    const int64_t left = request_.vram - plan_.vram_used;
    const int64_t pages = left <= 0 ? 0 : page > 0 ? left / page : CeilDiv(request_.max_ctx, sizes.kv_page_tokens);
    plan_.longest_ctx = std::min(request_.max_ctx, pages * sizes.kv_page_tokens);
    Add("KV cache", CeilDiv(request_.ctx, sizes.kv_page_tokens) * page, Place::kVram);
  }

  void AddSlots() {
    const WeightSizes& weights = request_.weights;
    const int64_t fetch = weights.moe_layers * request_.fetch_per_layer;
    plan_.slots = std::min(plan_.slot.SlotsIn(request_.vram - plan_.vram_used), weights.routed_experts() + fetch);
    // With everything cached nothing is fetched.
    if (plan_.slots >= weights.routed_experts()) {
      plan_.slots = weights.routed_experts();
    } else {
      plan_.fetch_slots = std::min(fetch, plan_.slots);
    }
    plan_.cached_experts = plan_.slots - plan_.fetch_slots;
    Add("expert slots", plan_.slot.BytesFor(plan_.slots), Place::kVram);
  }

  void AddRam() {
    const WeightSizes& weights = request_.weights;
    Add("routed experts", RoundUp(weights.routed_experts() * RoundUp(weights.expert_bytes, 64), kHugePage),
        Place::kRam);
    if (!weights.tied) Add("embedding", weights.embedding_bytes, Place::kRam);
    Add("prefix store", request_.prefix_store, Place::kRam);
    Add("staging", request_.sizes.staging_bytes, Place::kRam);
    Add("program and driver", request_.sizes.process_bytes, Place::kRam);
  }

  const PlanRequest& request_;
  MemoryPlan plan_;
};

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

MemoryPlan ComputePlan(const PlanRequest& request) { return Builder(request).Build(); }

Status CheckFits(const PlanRequest& request, const MemoryPlan& plan, const std::vector<PlanAlternative>& alternatives) {
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
  if (plan.ram_missing == 0 && plan.longest_ctx > 0 && plan.longest_ctx < request.ctx) {
    fixes.push_back(fmt::format("--ctx {}", plan.longest_ctx));
  }
  for (const PlanAlternative& alternative : alternatives) {
    if (ComputePlan(alternative.request).fits()) fixes.push_back(alternative.option);
  }
  std::vector<std::string> budgets;
  if (plan.vram_missing > 0) budgets.push_back(fmt::format("--vram {}", plan.vram_used));
  if (plan.ram_missing > 0) budgets.push_back(fmt::format("--ram {}", plan.ram_used));
  fixes.push_back(Join(budgets, " "));
  return ResourceExhausted(fmt::format("{}; it would fit with {}", Join(missing, " and "), Join(fixes, ", or ")));
}

}  // namespace qnext
