#include "experts/split_policy.h"

#include <algorithm>

#include "base/check.h"

namespace qnext {
namespace {

// Samples that a ServingTime remembers: they come by the dozen a step, or, where only trials bring them, every few
// steps.
constexpr double kMemory = 64;
// How much of a layer's miss counts one step leaves standing.
constexpr double kHistogramKeep = 0.99;

}  // namespace

SplitPolicy::SplitPolicy(const SplitPolicyOptions& options)
    : options_(options),
      cpu_alone_(options.cpu_seconds_per_expert, kMemory),
      cpu_shared_(options.cpu_seconds_per_expert, kMemory),
      fetch_alone_(options.fetch_seconds_per_expert, kMemory),
      fetch_shared_(options.fetch_seconds_per_expert, kMemory) {
  QNEXT_CHECK(options.layers > 0 && options.max_fetch >= 0 && options.max_misses > 0 && options.interval > 0,
              "a split needs layers and misses");
  const auto layers = static_cast<size_t>(options.layers);
  histogram_.assign(layers * static_cast<size_t>(options.max_misses + 1), 0);
  agreed_.assign(layers, 0);
  // Until misses are known: as if all counts were alike.
  std::ranges::fill(histogram_, 1e-3);
  settled_.assign(layers, 0);
  int64_t best = 0;
  for (int64_t quota = 1; quota <= options.max_fetch; ++quota) {
    if (ExpectedSeconds(0, quota) < ExpectedSeconds(0, best)) best = quota;
  }
  std::ranges::fill(settled_, static_cast<int32_t>(best));
  quotas_ = settled_;
}

double SplitPolicy::Predict(int64_t misses, int64_t quota) const {
  // What has not been seen yet is taken to be as its other half, so that it gets tried.
  const auto known = [](const ServingTime& one, const ServingTime& other) -> const ServingTime& {
    return one.samples() > 0 || other.samples() == 0 ? one : other;
  };
  if (quota <= 0) return known(cpu_alone_, cpu_shared_).Predict(misses);
  if (quota >= misses) return known(fetch_alone_, fetch_shared_).Predict(misses);
  return std::max(known(cpu_shared_, cpu_alone_).Predict(misses - quota),
                  known(fetch_shared_, fetch_alone_).Predict(quota));
}

double SplitPolicy::ExpectedSeconds(int64_t layer, int64_t quota) const {
  const double* weights = histogram_.data() + layer * (options_.max_misses + 1);
  double sum = 0, total = 0;
  for (int64_t misses = 0; misses <= options_.max_misses; ++misses) {
    sum += weights[misses];
    total += weights[misses] * Predict(misses, quota);
  }
  return total / sum;
}

int64_t SplitPolicy::fetch_slots_wanted() const {
  const int32_t most = *std::ranges::max_element(settled_);
  return std::min<int64_t>(options_.max_fetch, most + 1);
}

void SplitPolicy::Observe(std::span<const LayerServing> layers) {
  QNEXT_CHECK(static_cast<int64_t>(layers.size()) == options_.layers, "every layer reports");
  Learn(layers);
  ++steps_;
  for (int64_t layer = steps_ % options_.interval; layer < options_.layers; layer += options_.interval) {
    Reconsider(layer);
  }
  std::ranges::copy(settled_, quotas_.begin());
  PlanTrial();
}

void SplitPolicy::Learn(std::span<const LayerServing> layers) {
  for (size_t i = 0; i < layers.size(); ++i) {
    const LayerServing& layer = layers[i];
    (layer.fetched > 0 ? cpu_shared_ : cpu_alone_).Observe(layer.cpu, layer.cpu_seconds);
    (layer.cpu > 0 ? fetch_shared_ : fetch_alone_).Observe(layer.fetched, layer.fetch_seconds);
    double* weights = histogram_.data() + static_cast<int64_t>(i) * (options_.max_misses + 1);
    for (int64_t n = 0; n <= options_.max_misses; ++n) weights[n] *= kHistogramKeep;
    weights[std::min<int64_t>(layer.cpu + layer.fetched, options_.max_misses)] += 1;
  }
}

void SplitPolicy::Reconsider(int64_t layer) {
  int32_t& settled = settled_[static_cast<size_t>(layer)];
  const double now = ExpectedSeconds(layer, settled);
  int64_t best = settled;
  double least = now;
  for (int64_t quota = 0; quota <= options_.max_fetch; ++quota) {
    const double seconds = ExpectedSeconds(layer, quota);
    if (seconds < least) {
      best = quota;
      least = seconds;
    }
  }
  int32_t& agreed = agreed_[static_cast<size_t>(layer)];
  agreed = least < (1 - options_.hysteresis) * now ? agreed + 1 : 0;
  if (agreed < options_.patience) return;
  settled = static_cast<int32_t>(best);
  agreed = 0;
}

void SplitPolicy::PlanTrial() {
  const int64_t layer = steps_ % options_.layers;
  const int32_t settled = settled_[static_cast<size_t>(layer)];
  const double usual = ExpectedSeconds(layer, settled);
  const double credit = options_.trial_share * usual * static_cast<double>(options_.layers);
  for (double& saved : credits_) saved += credit / static_cast<double>(credits_.size());
  // The two pure strategies, a neighbour, and any; one trial a step at most, each kind first in turn.
  const int64_t round = steps_ / static_cast<int64_t>(kTrials);
  const std::array<int64_t, kTrials> tries = {0, settled + (round % 2 == 0 ? 1 : -1), options_.max_fetch,
                                              round % (options_.max_fetch + 1)};
  for (size_t i = 0; i < kTrials; ++i) {
    const size_t kind = (static_cast<size_t>(steps_) + i) % kTrials;
    const int64_t quota = tries[kind];
    if (quota == settled || quota < 0 || quota > options_.max_fetch) continue;
    const double extra = std::max(0.0, ExpectedSeconds(layer, quota) - usual);
    if (extra > credits_[kind]) continue;
    credits_[kind] = 0;
    quotas_[static_cast<size_t>(layer)] = static_cast<int32_t>(quota);
    return;
  }
}

}  // namespace qnext
