// How long a place takes to serve n experts of a layer, learned from what it took: overhead + n * each.
#pragma once

#include <cstdint>

namespace qnext {

// Exponentially weighted least squares. A sample more than twice or less than half of what was expected is taken as
// that limit (a preempted worker says nothing about the machine), unless several in a row agree that things have
// changed. One thread at a time.
class ServingTime {
 public:
  // `each`: seconds of one expert, believed until samples outweigh it. `memory`: samples after which one counts 1/e.
  ServingTime(double each, double memory);

  void Observe(int64_t experts, double seconds);  // ignored unless both are positive and finite

  // Seconds; 0 for no experts. Never falls as n grows.
  double Predict(int64_t experts) const { return experts > 0 ? overhead_ + each_ * static_cast<double>(experts) : 0; }
  double overhead() const { return overhead_; }
  double each() const { return each_; }
  int64_t samples() const { return samples_; }

 private:
  void Fit();

  double keep_;  // weight of the past at each sample
  double overhead_ = 0, each_;
  // Weighted sums of 1, n, n*n, t, n*t.
  double w_ = 0, wn_ = 0, wnn_ = 0, wt_ = 0, wnt_ = 0;
  int64_t samples_ = 0;
  int run_ = 0;  // samples in a row beyond the same limit: > 0 above, < 0 below
};

}  // namespace qnext
