#include "server/histogram.h"

#include <algorithm>

namespace qnext::server {

void Histogram::Observe(double value, int64_t times) {
  const auto bucket = std::lower_bound(bounds_.begin(), bounds_.end(), value);
  if (bucket != bounds_.end()) counts_[static_cast<size_t>(bucket - bounds_.begin())] += times;
  count_ += times;
  sum_ += value * static_cast<double>(times);
}

}  // namespace qnext::server
