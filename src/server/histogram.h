// A histogram with fixed buckets, as Prometheus reads it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace qnext::server {

// Thread-compatible. `bounds` ascend; a value falls into the first bucket whose bound is not below it.
class Histogram {
 public:
  explicit Histogram(std::span<const double> bounds) : bounds_(bounds.begin(), bounds.end()), counts_(bounds.size()) {}

  void Observe(double value, int64_t times = 1);

  const std::vector<double>& bounds() const { return bounds_; }
  const std::vector<int64_t>& counts() const { return counts_; }  // per bound, not cumulative
  int64_t count() const { return count_; }                        // of all values, those above the last bound included
  double sum() const { return sum_; }

 private:
  std::vector<double> bounds_;
  std::vector<int64_t> counts_;
  int64_t count_ = 0;
  double sum_ = 0;
};

}  // namespace qnext::server
