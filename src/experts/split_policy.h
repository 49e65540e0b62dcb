// SplitPolicy: how many of a layer's misses cross PCIe while the CPU computes the rest. docs/expert-cache.md
//
// A layer with n misses and the quota q takes
//
//   q = 0: cpu(n)      q >= n: fetch(n)      otherwise: max(cpu with fetch(n - q), fetch with cpu(q))
//
// where each of the four is a ServingTime learned from the layers that ran that way: what the two places cost each
// other is in the measurement, not in a model. The quota of a layer is the one of least expected time over the miss
// counts that the layer has had of late; both pure strategies are among the candidates. Now and then one layer tries
// another quota, so that what is not chosen stays known; trials may cost at most a fixed share of the time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "experts/serving_time.h"

namespace qnext {

struct SplitPolicyOptions {
  int64_t layers = 0;
  int64_t max_fetch = 0;   // no quota exceeds it
  int64_t max_misses = 0;  // of one layer and step; more count as this many
  // First guesses, from the rates measured at start.
  double cpu_seconds_per_expert = 0;
  double fetch_seconds_per_expert = 0;

  double hysteresis = 0.02;   // a quota is left for one that is better by this share,
  int patience = 2;           // found so this many times in a row
  int64_t interval = 8;       // steps between two looks at one layer
  double trial_share = 0.01;  // of the serving time that trials may cost
};

// One layer of one step. Seconds from when the split was known until the place had served its part; 0: not measured.
struct LayerServing {
  int32_t cpu = 0;      // experts
  int32_t fetched = 0;  // experts
  double cpu_seconds = 0;
  double fetch_seconds = 0;
};

// One thread at a time; allocates only when made.
class SplitPolicy {
 public:
  explicit SplitPolicy(const SplitPolicyOptions& options);

  // [layers] for the next step, trials included.
  std::span<const int32_t> quotas() const { return quotas_; }
  // The quota a layer has settled on.
  int32_t settled(int64_t layer) const { return settled_[static_cast<size_t>(layer)]; }
  // The most that any layer has settled on, or would try: what fetch slots are worth having.
  int64_t fetch_slots_wanted() const;

  // The step that ran with quotas(), [layers].
  void Observe(std::span<const LayerServing> layers);

  // Seconds that a layer with `misses` is expected to take.
  double Predict(int64_t misses, int64_t quota) const;
  // The same over the miss counts of a layer.
  double ExpectedSeconds(int64_t layer, int64_t quota) const;

  const ServingTime& cpu_alone() const { return cpu_alone_; }
  const ServingTime& cpu_shared() const { return cpu_shared_; }
  const ServingTime& fetch_alone() const { return fetch_alone_; }
  const ServingTime& fetch_shared() const { return fetch_shared_; }

 private:
  void Learn(std::span<const LayerServing> layers);
  void Reconsider(int64_t layer);
  void PlanTrial();

  SplitPolicyOptions options_;
  ServingTime cpu_alone_, cpu_shared_, fetch_alone_, fetch_shared_;
  std::vector<int32_t> quotas_, settled_;
  std::vector<int32_t> agreed_;    // [layers] how often in a row another quota was better
  std::vector<double> histogram_;  // [layers, max_misses + 1] weights of late miss counts
  int64_t steps_ = 0;
  static constexpr size_t kTrials = 4;
  std::array<double, kTrials> credits_ = {};  // seconds that each kind of trial may cost by now
};

}  // namespace qnext
