// Router choices that do not come from the router: a greedy loop on random weights repeats itself, so synthetic
// checkpoints are measured with simulated routing (docs/benchmarking.md). Reports say so.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "config/model_config.h"

namespace qnext {

enum class Routing : uint8_t {
  kReal,     // the router decides
  kUniform,  // seeded, every expert equally likely
  kRecency,  // seeded, skewed in time as the real router is: an LRU cache of 12.5 / 15 / 25% of the experts would hit
             // 67 / 75 / 81% of the choices
};

std::optional<Routing> ParseRouting(std::string_view name);  // "real", "uniform", "recency"
std::string_view RoutingName(Routing routing);

// Choices for every MoE layer and position, made beforehand without sight of any cache. Immutable; thread-safe.
// Positions past the end of the list wrap around.
class ForcedRouting {
 public:
  // `kind` is not kReal.
  ForcedRouting(Routing kind, const ModelConfig& config, uint64_t seed, int64_t positions = 4096);

  Routing kind() const { return kind_; }
  // The `top` distinct experts of one position, falling "probability" by order.
  const uint16_t* At(int64_t moe_layer, int64_t position) const {
    return choices_.data() + (moe_layer * positions_ + position % positions_) * top_;
  }
  int64_t top() const { return top_; }
  int64_t layers() const { return layers_; }
  int64_t positions() const { return positions_; }  // of the list

  // The share of choices that an LRU cache of `capacity` experts per layer, empty at first, would hit after the first
  // `skip` positions.
  double LruHitShare(int64_t capacity, int64_t skip) const;
  // Shannon entropy of the choices over all layers, in bits; log2(E) for uniform routing.
  double EntropyBits() const;

 private:
  Routing kind_;
  int64_t layers_ = 0, positions_ = 0, top_ = 0, num_experts_ = 0;
  std::vector<uint16_t> choices_;  // [layers][positions][top]
};

}  // namespace qnext
