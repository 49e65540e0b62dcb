#include "bench/statistics.h"

#include <algorithm>
#include <numeric>

#include "metrics/timeline.h"

namespace qnext {

Spread SpreadOf(const std::vector<double>& samples) {
  if (samples.empty()) return {};
  const auto [min, max] = std::minmax_element(samples.begin(), samples.end());
  const double sum = std::accumulate(samples.begin(), samples.end(), 0.0);
  return {.samples = static_cast<int64_t>(samples.size()),
          .median = Percentile(samples, 0.5),
          .min = *min,
          .max = *max,
          .mean = sum / static_cast<double>(samples.size())};
}

}  // namespace qnext
