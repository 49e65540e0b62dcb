#include "plan/hit_curve.h"

#include <algorithm>
#include <array>
#include <cstddef>

namespace qnext {
namespace {

struct Point {
  double cached;
  double hits;
};
// benchmarks/expert_cache_sim recency --promotions 480 --least 480 --positions 2048, policy lru.
constexpr std::array<Point, 12> kCeiling = {{{0, 0},
                                             {0.05, 0.189},
                                             {0.10, 0.480},
                                             {0.125, 0.621},
                                             {0.15, 0.707},
                                             {0.20, 0.750},
                                             {0.23, 0.770},
                                             {0.25, 0.782},
                                             {0.32, 0.804},
                                             {0.40, 0.827},
                                             {0.50, 0.856},
                                             {1, 1}}};

// From the same program with fewer promotions: 2.7 at first, less near the ceiling.
constexpr double kHitsPerKept = 2.4;

}  // namespace

double UniformHitShare(double cached_share) { return std::clamp(cached_share, 0.0, 1.0); }

double RecencyCeiling(double cached_share) {
  const double share = std::clamp(cached_share, 0.0, 1.0);
  for (size_t i = 1; i < kCeiling.size(); ++i) {
    const Point &from = kCeiling[i - 1], &to = kCeiling[i];
    if (share <= to.cached) {
      return from.hits + (to.hits - from.hits) * (share - from.cached) / (to.cached - from.cached);
    }
  }
  return 1;
}

double RecencyHitShare(double cached_share, double kept) {
  const double chance = UniformHitShare(cached_share), ceiling = RecencyCeiling(cached_share);
  if (ceiling >= 1) return 1;
  // What keeping one expert gains, at least: uses before it leaves the favourites again.
  const double gain = std::max(kHitsPerKept, (ceiling - chance) / (1 - ceiling));
  return std::min(ceiling, chance + gain * std::max(kept, 0.0));
}

}  // namespace qnext
