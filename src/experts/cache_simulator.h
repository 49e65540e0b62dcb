// What an expert cache would have hit: replays a trace through the very ExpertCache that the engine uses.
#pragma once

#include <cstddef>
#include <cstdint>

#include "experts/expert_cache.h"
#include "experts/routing_trace.h"

namespace qnext {

struct CacheSimulation {
  int64_t slots = 0;  // fetch slots included
  CachePolicyOptions policy;
  PromotionThrottleOptions promotions;
  int64_t fetch_per_layer = 0;  // misses of a layer that cross PCIe within the step, into as many fetch slots
  int64_t upload_steps = 1;     // an upload asked for after step n is there before step n + 1 + upload_steps begins
  int64_t warm_up = 0;          // positions replayed before counting begins
  // Seeded, as if they were the prompt, from the counts of this many positions (which are not replayed). kStatic sees
  // the whole trace instead: no fixed list can be better.
  int64_t seed_positions = 0;
};

struct CacheSimulationResult {
  int64_t steps = 0;  // counted ones, as all below
  double hit_share = 0;
  double misses_per_step = 0;
  double fetched_per_step = 0;
  double adopted_per_step = 0;
  double uploads_per_step = 0;
};

// The trace must be longer than seed_positions + warm_up.
CacheSimulationResult SimulateCache(const RoutingTrace& trace, const CacheSimulation& simulation);

}  // namespace qnext
