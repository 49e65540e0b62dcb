// What a report says about repeated measurements.
#pragma once

#include <cstdint>
#include <vector>

namespace qnext {

struct Spread {
  int64_t samples = 0;
  double median = 0;
  double min = 0;
  double max = 0;
  double mean = 0;
};

// All zero for no samples.
Spread SpreadOf(const std::vector<double>& samples);

}  // namespace qnext
