#include "model/rope.h"

#include <algorithm>
#include <cmath>

namespace qnext {

RopeFrequencies::RopeFrequencies(const ModelConfig& config)
    : half_(config.rotary_dims / 2),
      theta_(config.rope_theta),
      dims_(static_cast<double>(config.rotary_dims)),
      yarn_(config.yarn.has_value()) {
  if (!yarn_) return;
  // YaRN (Peng et al. 2023): dimensions that turn more than beta_fast times within the original context keep their
  // frequency, those that turn less than beta_slow times are slowed by `factor`, with a linear ramp between.
  const auto dimension_of = [&](double turns) {
    return dims_ * std::log(static_cast<double>(config.yarn->original_max_position_embeddings) / (turns * 2 * M_PI)) /
           (2 * std::log(theta_));
  };
  low_ = std::max(std::floor(dimension_of(config.yarn->beta_fast)), 0.0);
  high_ = std::min(std::ceil(dimension_of(config.yarn->beta_slow)), dims_ - 1);
  if (low_ == high_) high_ += 0.001;
  factor_ = config.yarn->factor;
  magnitude_ = config.yarn->attention_factor;
}

double RopeFrequencies::At(int64_t i) const {
  const double frequency = std::pow(theta_, -2.0 * static_cast<double>(i) / dims_);
  if (!yarn_) return frequency;
  const double slowed = std::clamp((static_cast<double>(i) - low_) / (high_ - low_), 0.0, 1.0);
  return frequency / factor_ * slowed + frequency * (1 - slowed);
}

}  // namespace qnext
