#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/bytes.h"
#include "plan/plan_report.h"

namespace qnext {
namespace {

std::string WithSpaces(int64_t number) {
  std::string text = std::to_string(number);
  for (auto at = static_cast<int64_t>(text.size()) - 3; at > 0; at -= 3) text.insert(static_cast<size_t>(at), " ");
  return text;
}

std::string PlaceTable(const MemoryPlan& plan, Place place) {
  const bool vram = place == Place::kVram;
  std::string text = fmt::format("{}\n", PlaceName(place));
  const auto line = [&](std::string_view name, int64_t bytes) {
    text += fmt::format("  {:<26} {:>10} {:>18}\n", name, FormatBytes(bytes), WithSpaces(bytes));
  };
  for (const PlanRow& row : plan.rows) {
    if (row.place == place) line(row.component, row.bytes);
  }
  line("together", vram ? plan.vram_used : plan.ram_used);
  line("budget", vram ? plan.vram_budget : plan.ram_budget);
  return text;
}

std::string Milliseconds(double seconds) { return fmt::format("{:.2f}", 1e3 * seconds); }

std::string SpeedTables(const PlanReport& report) {
  if (report.decode.empty()) return "";
  std::string text = fmt::format("\nAt best on {}, {} threads\n", report.machine, report.threads);
  text += fmt::format("  {:<34} {:>6} {:>7} {:>9} {:>8} {:>9}   {}\n", "decode", "tok/s", "hits", "misses ms", "GPU ms",
                      "other ms", "longest part");
  for (const PlanReport::Decode& row : report.decode) {
    const DecodeEstimate& e = row.estimate;
    text += fmt::format("  {:<34} {:>6.1f} {:>6.1f}% {:>9} {:>8} {:>9}   {}\n",
                        row.context > 0 ? fmt::format("{}, context {}", row.name, WithSpaces(row.context)) : row.name,
                        e.tokens_per_second(), 100 * e.hit_share, Milliseconds(e.miss_seconds),
                        Milliseconds(e.gpu_seconds), Milliseconds(e.overhead_seconds), LimitName(e.limit));
  }
  text += fmt::format("  {:<34} {:>6}   {}\n", "prefill", "tok/s", "longest part");
  for (const PrefillEstimate& row : report.prefill) {
    text += fmt::format("  {:<34} {:>6.0f}   {}\n", WithSpaces(row.tokens) + " tokens", row.tokens_per_second(),
                        LimitName(row.limit));
  }
  return text;
}

}  // namespace

std::string FormatPlanText(const PlanReport& report) {
  const MemoryPlan& plan = report.plan;
  std::string text = fmt::format("Plan for {}", report.model);
  for (const auto& [name, value] : report.options) text += fmt::format(" {} {}", name, value);
  text += "\n\n" + PlaceTable(plan, Place::kVram) + "\n" + PlaceTable(plan, Place::kRam) + "\n";
  text += fmt::format("{} of {} routed experts in VRAM, in slots of {} bytes, {} of them for fetches: {:.1f}% cached\n",
                      WithSpaces(plan.cached_experts), WithSpaces(plan.routed_experts), WithSpaces(plan.slot.stride),
                      plan.fetch_slots, 100 * plan.cached_share());
  text += plan.longest_ctx > 0
              ? fmt::format("Longest context that fits (no expert cached): {} tokens\n", WithSpaces(plan.longest_ctx))
              : "No context fits\n";
  return text + SpeedTables(report);
}

int64_t FastestThatFits(const std::vector<PlanReport>& reports) {
  int64_t best = -1;
  for (size_t i = 0; i < reports.size(); ++i) {
    if (!reports[i].fits.ok() || reports[i].decode.empty()) continue;
    if (best < 0 || reports[i].decode.front().estimate.seconds() <
                        reports[static_cast<size_t>(best)].decode.front().estimate.seconds()) {
      best = static_cast<int64_t>(i);
    }
  }
  return best;
}

std::string FormatSweepText(const std::vector<PlanReport>& reports) {
  if (reports.empty()) return "";
  // Options that are the same everywhere stand above the table.
  const auto& names = reports.front().options;
  std::vector<size_t> varied;
  std::string text = fmt::format("Plans for {}", reports.front().model);
  for (size_t i = 0; i < names.size(); ++i) {
    std::set<std::string> values;
    for (const PlanReport& report : reports) values.insert(report.options[i].second);
    if (values.size() > 1) {
      varied.push_back(i);
    } else {
      text += fmt::format(" {} {}", names[i].first, names[i].second);
    }
  }
  text += fmt::format("\nAt best on {}, {} threads\n\n ", reports.front().machine, reports.front().threads);
  for (const size_t i : varied) text += fmt::format(" {:>15}", names[i].first);
  text += fmt::format(" {:>8} {:>12} {:>9} {:>9} {:>9}\n", "cached", "longest ctx", "uniform", "recency", "prefill");
  const int64_t fastest = FastestThatFits(reports);
  for (size_t r = 0; r < reports.size(); ++r) {
    const PlanReport& report = reports[r];
    text += static_cast<int64_t>(r) == fastest ? "*" : " ";
    for (const size_t i : varied) text += fmt::format(" {:>15}", report.options[i].second);
    if (!report.fits.ok()) {
      const MemoryPlan& plan = report.plan;
      text += fmt::format("  too large by {}{}{}\n",
                          plan.vram_missing > 0 ? FormatBytes(plan.vram_missing) + " of VRAM" : "",
                          plan.vram_missing > 0 && plan.ram_missing > 0 ? " and " : "",
                          plan.ram_missing > 0 ? FormatBytes(plan.ram_missing) + " of RAM" : "");
      continue;
    }
    text += fmt::format(" {:>7.1f}% {:>12} {:>9.1f} {:>9.1f} {:>9.0f}\n", 100 * report.plan.cached_share(),
                        WithSpaces(report.plan.longest_ctx), report.decode[0].estimate.tokens_per_second(),
                        report.decode[1].estimate.tokens_per_second(), report.prefill.back().tokens_per_second());
  }
  text += fmt::format("\nuniform, recency: decoded tok/s under that routing; prefill: tok/s of {} tokens.\n",
                      reports.front().prefill.empty() ? "a prompt" : WithSpaces(reports.front().prefill.back().tokens));
  text += fastest >= 0 ? "* the fastest that fits (uniform routing)\n" : "None fits.\n";
  return text;
}

}  // namespace qnext
