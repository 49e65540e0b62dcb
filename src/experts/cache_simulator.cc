#include "experts/cache_simulator.h"

#include <algorithm>
#include <deque>
#include <vector>

#include "base/check.h"

namespace qnext {
namespace {

// The counts of positions [begin, end), as Seed takes them.
std::vector<int32_t> CountUses(const RoutingTrace& trace, int64_t begin, int64_t end) {
  std::vector<int32_t> counts(static_cast<size_t>(trace.layers * trace.experts));
  for (int64_t position = begin; position < end; ++position) {
    const uint16_t* choices = trace.At(position);
    for (int64_t i = 0; i < trace.step_choices(); ++i) {
      ++counts[static_cast<size_t>(i / trace.top * trace.experts + choices[i])];
    }
  }
  return counts;
}

}  // namespace

CacheSimulationResult SimulateCache(const RoutingTrace& trace, const CacheSimulation& simulation) {
  const int64_t first = simulation.seed_positions, counted = first + simulation.warm_up;
  QNEXT_CHECK(counted < trace.positions(), "something is left to count");
  ExpertCache cache({.layers = trace.layers,
                     .experts = trace.experts,
                     .max_slots = simulation.slots,
                     .slots_per_chunk = std::max<int64_t>(1, simulation.slots),
                     .max_fetch = simulation.fetch_per_layer,
                     .promotions = simulation.promotions,
                     .max_uploads = simulation.promotions.most * (simulation.upload_steps + 1),
                     .policy = simulation.policy});
  cache.SetFetchSlots(simulation.fetch_per_layer);
  const bool fixed = simulation.policy.kind == CachePolicyKind::kStatic;
  if (fixed || first > 0) {
    const int64_t tokens = fixed ? trace.positions() : first;
    const UploadBatch batch =
        cache.Seed(CountUses(trace, 0, tokens), tokens, cache.next_step(), /*max_uploads=*/simulation.slots);
    cache.FinishUploads(batch.epoch);
  }

  ExpertCacheStats before;
  std::deque<int64_t> epochs;
  std::vector<int32_t> choices(static_cast<size_t>(trace.step_choices()));
  std::vector<FetchedExpert> fetched;
  for (int64_t position = first; position < trace.positions(); ++position) {
    if (position == counted) before = cache.stats();
    const StepPlacement placement = cache.BeginStep();
    fetched.clear();
    for (int64_t layer = 0; layer < trace.layers; ++layer) {
      int32_t fetches = 0;
      for (int64_t i = 0; i < trace.top; ++i) {
        const int32_t expert = trace.At(position)[layer * trace.top + i];
        choices[static_cast<size_t>(layer * trace.top + i)] = expert;
        if (placement.slot_map[static_cast<size_t>(layer * trace.experts + expert)] < 0 &&
            fetches < placement.fetch_counts[static_cast<size_t>(layer)]) {
          fetched.push_back({.layer = static_cast<int32_t>(layer), .expert = expert, .index = fetches++});
        }
      }
    }
    const UploadBatch batch =
        cache.EndStep(placement.step, {.choices = choices, .choices_per_layer = trace.top, .fetched = fetched});
    epochs.push_back(batch.epoch);
    for (; static_cast<int64_t>(epochs.size()) > simulation.upload_steps; epochs.pop_front()) {
      cache.FinishUploads(epochs.front());
    }
  }

  const ExpertCacheStats& after = cache.stats();
  const auto steps = static_cast<double>(trace.positions() - counted);
  const auto hits = static_cast<double>(after.hits - before.hits);
  const auto misses = static_cast<double>(after.misses - before.misses);
  return {.steps = trace.positions() - counted,
          .hit_share = hits / (hits + misses),
          .misses_per_step = misses / steps,
          .fetched_per_step = static_cast<double>(after.fetched - before.fetched) / steps,
          .adopted_per_step = static_cast<double>(after.adopted - before.adopted) / steps,
          .uploads_per_step = static_cast<double>(after.uploads - before.uploads) / steps};
}

}  // namespace qnext
