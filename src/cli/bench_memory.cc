#include "cli/bench_memory.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>

#include "base/bytes.h"
#include "cli/memory_table.h"
#include "cli/plan_case.h"

namespace qnext {
namespace {

constexpr int64_t kGiB = int64_t{1} << 30;

MemoryComponent Total(std::string_view place, std::optional<int64_t> planned, int64_t measured) {
  return {.name = "total",
          .place = std::string(place),
          .planned_bytes = planned,
          .measured_bytes = measured > 0 ? std::optional<int64_t>(measured) : std::nullopt};
}

ConfigurationPoint ToPoint(const PlanReport& report) {
  ConfigurationPoint point{.options = report.options,
                           .fits = report.fits.ok(),
                           .why_not = report.fits.message(),
                           .vram_bytes = report.plan.vram_used,
                           .ram_bytes = report.plan.ram_used,
                           .cached_experts = report.plan.cached_experts,
                           .experts = report.plan.routed_experts};
  if (!point.fits) return point;
  // Plans have uniform routing first, then recency, both at a short context.
  const DecodeEstimate& uniform = report.decode.at(0).estimate;
  const DecodeEstimate& recency = report.decode.at(1).estimate;
  point.decode_tokens_per_second = recency.tokens_per_second();
  point.uniform_tokens_per_second = uniform.tokens_per_second();
  point.hit_share = recency.hit_share;
  point.uniform_hit_share = uniform.hit_share;
  point.miss_seconds = recency.miss_seconds;
  point.gpu_seconds = recency.gpu_seconds;
  point.overhead_seconds = recency.overhead_seconds;
  if (!report.prefill.empty()) point.prefill_tokens_per_second = report.prefill.back().tokens_per_second();
  return point;
}

const std::string& OptionOf(const ConfigurationPoint& point, std::string_view name) {
  return std::ranges::find(point.options, name, &std::pair<std::string, std::string>::first)->second;
}

// The fastest of those with one --vram that fit; of equals the first, which is the one with fewest changes.
void MarkFastest(std::vector<ConfigurationPoint>& points) {
  std::map<std::string, ConfigurationPoint*> fastest;
  for (ConfigurationPoint& point : points) {
    ConfigurationPoint*& best = fastest[OptionOf(point, "--vram")];
    if (point.fits && (best == nullptr || point.decode_tokens_per_second > best->decode_tokens_per_second)) {
      best = &point;
    }
  }
  for (const auto& [vram, point] : fastest) {
    if (point != nullptr) point->fastest = true;
  }
}

template <typename T>
std::vector<T> WithOther(T own, T other) {
  return own == other ? std::vector<T>{own} : std::vector<T>{own, other};
}

}  // namespace

std::vector<MemoryComponent> MemoryComponents(const Engine& engine, const ProcessMemory& before,
                                              const ProcessMemory& loaded) {
  const EngineInfo& info = engine.info();
  std::vector<MemoryComponent> components;
  if (info.memory.empty()) {
    components.push_back({.name = "weights (measured: growth of the process while loading)",
                          .place = std::string(PlaceName(Place::kRam)),
                          .planned_bytes = info.weight_bytes,
                          .measured_bytes = std::max<int64_t>(0, loaded.resident_bytes - before.resident_bytes)});
    components.push_back(Total(PlaceName(Place::kRam), std::nullopt, ReadProcessMemory().peak_bytes));
    return components;
  }
  for (const PlanRow& row : info.memory) {
    MemoryComponent component{.name = row.component,
                              .place = std::string(PlaceName(row.place)),
                              .planned_bytes = row.bytes,
                              .measured_bytes = std::nullopt};
    const std::optional<ExpertCacheMemory> cache = engine.expert_cache();
    if (row.component == "expert cache" && cache) component.measured_bytes = cache->bytes;
    components.push_back(std::move(component));
  }
  const MemoryUsed used = ReadMemoryUsed(info.memory);
  components.push_back(Total(PlaceName(Place::kVram), PlannedBytes(info.memory, Place::kVram), used.vram));
  components.push_back(Total(PlaceName(Place::kRam), PlannedBytes(info.memory, Place::kRam), used.ram));
  return components;
}

MemoryBudgets BudgetsOf(const ModelFlags& flags) {
  const auto size = [](const std::string& text) {
    return text.empty() ? std::nullopt : std::optional<int64_t>(*ParseByteSize(text));
  };
  return {.vram_bytes = size(flags.vram), .ram_bytes = size(flags.ram)};
}

Result<Sweep> SweepBudgets(const ModelFlags& flags, const std::string& rates, int64_t context, int64_t ram) {
  QNEXT_ASSIGN_OR_RETURN(const MachineRates machine, LoadMachineRates(rates));
  QNEXT_ASSIGN_OR_RETURN(const PlanModel model, flags.synthetic.empty() ? PlanModel::FromFolder(flags.model)
                                                                        : PlanModel::FromKind(flags.synthetic));
  const int64_t threads = flags.threads > 0 ? flags.threads : machine.memory_read.back().threads;
  const MemoryBudgets budgets = BudgetsOf(flags);
  std::vector<int64_t> vram;
  for (const int64_t gib : {6, 8, 10, 12, 16, 20, 24}) vram.push_back(gib * kGiB);
  if (budgets.vram_bytes) vram.push_back(*budgets.vram_bytes);
  std::ranges::sort(vram);
  vram.erase(std::unique(vram.begin(), vram.end()), vram.end());
  QNEXT_ASSIGN_OR_RETURN(const KvType kv_type, ParseKv(flags.kv));
  QNEXT_ASSIGN_OR_RETURN(const DenseChoice dense_choice, ParseDenseChoice(flags.dense));
  Sweep sweep{.rates = rates, .points = {}};
  for (const int64_t bytes : vram) {
    for (const KvType kv : WithOther(kv_type, KvType::kInt8)) {
      for (const DenseChoice dense : WithOther(dense_choice, DenseChoice::kInt8)) {
        const PlanCase one{.vram = bytes,
                           .ram = budgets.ram_bytes.value_or(ram),
                           .ctx = std::min(context, model.config().max_position_embeddings),
                           .kv = kv,
                           .dense = dense};
        QNEXT_ASSIGN_OR_RETURN(const PlanReport report, model.Plan(one, machine, threads));
        sweep.points.push_back(ToPoint(report));
        sweep.points.back().this_run = bytes == budgets.vram_bytes && kv == kv_type && dense == dense_choice;
      }
    }
  }
  MarkFastest(sweep.points);
  return sweep;
}

}  // namespace qnext
