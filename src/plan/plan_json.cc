#include <nlohmann/json.hpp>

#include "plan/plan_report.h"

namespace qnext {
namespace {

using Json = nlohmann::ordered_json;

Json ToJson(const PlanReport& report) {
  const MemoryPlan& plan = report.plan;
  Json options = Json::object(), rows = Json::array(), decode = Json::array(), prefill = Json::array();
  for (const auto& [name, value] : report.options) options[name] = value;
  for (const PlanRow& row : plan.rows) {
    rows.push_back({{"component", row.component}, {"bytes", row.bytes}, {"place", PlaceName(row.place)}});
  }
  for (const PlanReport::Decode& row : report.decode) {
    const DecodeEstimate& e = row.estimate;
    decode.push_back({{"routing", row.name},
                      {"context", row.context},
                      {"tokens_per_second", e.tokens_per_second()},
                      {"hit_share", e.hit_share},
                      {"missed_bytes", e.missed_bytes},
                      {"promoted_bytes", e.promoted_bytes},
                      {"miss_seconds", e.miss_seconds},
                      {"gpu_seconds", e.gpu_seconds},
                      {"overhead_seconds", e.overhead_seconds},
                      {"limit", LimitName(e.limit)}});
  }
  for (const PrefillEstimate& e : report.prefill) {
    prefill.push_back({{"tokens", e.tokens},
                       {"tokens_per_second", e.tokens_per_second()},
                       {"miss_seconds", e.miss_seconds},
                       {"compute_seconds", e.compute_seconds},
                       {"gpu_seconds", e.gpu_seconds},
                       {"limit", LimitName(e.limit)}});
  }
  return {{"model", report.model},
          {"options", std::move(options)},
          {"fits", plan.fits()},
          {"error", report.fits.ok() ? Json() : Json(report.fits.message())},
          {"rows", std::move(rows)},
          {"vram", {{"used", plan.vram_used}, {"budget", plan.vram_budget}, {"missing", plan.vram_missing}}},
          {"ram", {{"used", plan.ram_used}, {"budget", plan.ram_budget}, {"missing", plan.ram_missing}}},
          {"expert_slots",
           {{"fetch_slots", plan.fetch_slots},
            {"cached_experts", plan.cached_experts},
            {"routed_experts", plan.routed_experts},
            {"stride", plan.slot.stride},
            {"slots_per_chunk", plan.slot.slots_per_chunk}}},
          {"longest_context", plan.longest_ctx},
          {"predicted",
           {{"machine", report.machine},
            {"threads", report.threads},
            {"decode", std::move(decode)},
            {"prefill", std::move(prefill)}}}};
}

std::string Print(const Json& json) {
  return json.dump(2, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

std::string FormatPlanJson(const PlanReport& report) { return Print(ToJson(report)); }

std::string FormatSweepJson(const std::vector<PlanReport>& reports) {
  Json plans = Json::array();
  for (const PlanReport& report : reports) plans.push_back(ToJson(report));
  const int64_t fastest = FastestThatFits(reports);
  return Print({{"plans", std::move(plans)}, {"fastest", fastest >= 0 ? Json(fastest) : Json()}});
}

}  // namespace qnext
