// The frequencies of the rotary embedding, YaRN included. docs/numerics.md
#pragma once

#include <cstdint>

#include "config/model_config.h"

namespace qnext {

// A value; takes no memory.
class RopeFrequencies {
 public:
  explicit RopeFrequencies(const ModelConfig& config);

  int64_t count() const { return half_; }          // R/2
  double At(int64_t i) const;                      // radians per position
  double magnitude() const { return magnitude_; }  // multiplies cosines and sines: YaRN's attention factor, or 1

 private:
  int64_t half_;
  double theta_, dims_;
  double factor_ = 1, magnitude_ = 1;
  double low_ = 0, high_ = 0;  // YaRN slows the dimensions between these gradually, those after `high` wholly
  bool yarn_;
};

}  // namespace qnext
