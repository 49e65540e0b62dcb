#include "model/forced_routing.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "base/random.h"

namespace qnext {
namespace {

// Cumulative probability that a choice lies among the `share` most recently used experts (docs/benchmarking.md: the hit
// curve measured on this model's router).
struct CurvePoint {
  double share;
  double hits;
};
constexpr std::array<CurvePoint, 5> kRecencyCurve = {{{0, 0}, {0.125, 0.67}, {0.15, 0.75}, {0.25, 0.81}, {1, 1}}};

// A depth in the recency order, drawn from the curve.
int64_t DrawDepth(double u, int64_t num_experts) {
  for (size_t i = 1; i < kRecencyCurve.size(); ++i) {
    const CurvePoint &from = kRecencyCurve[i - 1], &to = kRecencyCurve[i];
    if (u > to.hits) continue;
    const double share = from.share + (to.share - from.share) * (u - from.hits) / (to.hits - from.hits);
    return std::min(num_experts - 1, static_cast<int64_t>(share * static_cast<double>(num_experts)));
  }
  return num_experts - 1;
}

void FillLayer(Routing kind, Random& random, int64_t num_experts, int64_t positions, int64_t top, uint16_t* out) {
  // Experts by recency, most recent first; uniform routing ignores the order.
  std::vector<uint16_t> order(static_cast<size_t>(num_experts));
  std::iota(order.begin(), order.end(), uint16_t{0});
  for (size_t i = order.size() - 1; i > 0; --i) std::swap(order[i], order[random.Below(i + 1)]);
  std::vector<int64_t> depths;
  for (int64_t position = 0; position < positions; ++position) {
    depths.clear();
    while (static_cast<int64_t>(depths.size()) < top) {
      const int64_t depth = kind == Routing::kUniform
                                ? static_cast<int64_t>(random.Below(static_cast<uint64_t>(num_experts)))
                                : DrawDepth(random.Uniform(), num_experts);
      if (std::ranges::find(depths, depth) == depths.end()) depths.push_back(depth);
    }
    uint16_t* chosen = out + position * top;
    for (int64_t i = 0; i < top; ++i) chosen[i] = order[static_cast<size_t>(depths[static_cast<size_t>(i)])];
    for (int64_t i = 0; i < top; ++i) {
      const auto at = std::ranges::find(order, chosen[i]);
      std::rotate(order.begin(), at, at + 1);
    }
  }
}

}  // namespace

std::optional<Routing> ParseRouting(std::string_view name) {
  if (name == "real") return Routing::kReal;
  if (name == "uniform") return Routing::kUniform;
  if (name == "recency") return Routing::kRecency;
  return std::nullopt;
}

std::string_view RoutingName(Routing routing) {
  switch (routing) {
    case Routing::kReal:
      return "real";
    case Routing::kUniform:
      return "uniform";
    case Routing::kRecency:
      return "recency";
  }
  return "";
}

ForcedRouting::ForcedRouting(Routing kind, const ModelConfig& config, uint64_t seed, int64_t positions)
    : kind_(kind),
      layers_(std::ranges::count(config.layer_is_moe, true)),
      positions_(positions),
      top_(config.num_experts_per_token),
      num_experts_(config.num_experts),
      choices_(static_cast<size_t>(layers_ * positions_ * top_)) {
  QNEXT_CHECK(kind != Routing::kReal && positions > 0, "forced routing needs a rule and a length");
  for (int64_t layer = 0; layer < layers_; ++layer) {
    Random random(seed, static_cast<uint64_t>(layer));
    FillLayer(kind, random, num_experts_, positions_, top_, choices_.data() + layer * positions_ * top_);
  }
}

double ForcedRouting::LruHitShare(int64_t capacity, int64_t skip) const {
  int64_t hits = 0, total = 0;
  for (int64_t layer = 0; layer < layers_; ++layer) {
    std::vector<uint16_t> cache;  // most recent first
    for (int64_t position = 0; position < positions_; ++position) {
      const uint16_t* chosen = At(layer, position);
      for (int64_t i = 0; i < top_; ++i) {
        const bool hit = std::ranges::find(cache, chosen[i]) != cache.end();
        if (position >= skip) hits += hit ? 1 : 0, ++total;
      }
      for (int64_t i = 0; i < top_; ++i) {
        if (const auto at = std::ranges::find(cache, chosen[i]); at != cache.end()) cache.erase(at);
        cache.insert(cache.begin(), chosen[i]);
      }
      if (static_cast<int64_t>(cache.size()) > capacity) cache.resize(static_cast<size_t>(capacity));
    }
  }
  return total > 0 ? static_cast<double>(hits) / static_cast<double>(total) : 0;
}

double ForcedRouting::EntropyBits() const {
  double bits = 0;
  for (int64_t layer = 0; layer < layers_; ++layer) {
    std::vector<int64_t> counts(static_cast<size_t>(num_experts_));
    for (int64_t i = 0; i < positions_ * top_; ++i) {
      ++counts[static_cast<size_t>(choices_[static_cast<size_t>(layer * positions_ * top_ + i)])];
    }
    for (int64_t count : counts) {
      if (count == 0) continue;
      const double p = static_cast<double>(count) / static_cast<double>(positions_ * top_);
      bits -= p * std::log2(p);
    }
  }
  return layers_ > 0 ? bits / static_cast<double>(layers_) : 0;
}

}  // namespace qnext
