// The share of router choices that the expert cache hits, by capacity: from the simulator that shares the cache's code
// (docs/expert-cache.md).
#pragma once

namespace qnext {

// Every expert alike: the cached share, whatever the policy.
double UniformHitShare(double cached_share);

// Routing skewed in time, as a recency cache of 12.5 / 15 / 25% of the experts would hit 67 / 72-79 / 81% of. Every
// such hit was bought with a promotion: `kept` is the share of all choices that cross the link and stay (fetched or
// promoted); with kept == 1 - hits the cache learns all it misses, with 0 it knows no more than chance.
double RecencyHitShare(double cached_share, double kept);

// The hit share of a cache that keeps everything it misses, one step late.
double RecencyCeiling(double cached_share);

}  // namespace qnext
