#include "experts/serving_time.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace qnext {
namespace {

constexpr double kLimit = 2;  // of a sample against what was expected
// Samples in a row beyond it that are no outliers. Much can delay a measurement, little can make it too short.
constexpr int kSlowerRun = 4, kFasterRun = 2;

}  // namespace

ServingTime::ServingTime(double each, double memory) : keep_(std::exp(-1 / memory)), each_(each) {
  QNEXT_CHECK(each > 0 && memory >= 1, "a first guess and a memory are needed");
  // The guess weighs as much as one sample of each of one and two experts.
  for (const double n : {1.0, 2.0}) {
    w_ += 1;
    wn_ += n;
    wnn_ += n * n;
    wt_ += n * each;
    wnt_ += n * n * each;
  }
}

void ServingTime::Observe(int64_t experts, double seconds) {
  if (experts <= 0 || !(seconds > 0) || !std::isfinite(seconds)) return;
  const double expected = Predict(experts);
  double keep = keep_;
  if (samples_ > 0) {
    const int side = seconds > kLimit * expected ? 1 : seconds < expected / kLimit ? -1 : 0;
    run_ = side == 0 || (run_ > 0) != (side > 0) ? side : run_ + side;
    if (run_ >= kSlowerRun || run_ <= -kFasterRun) {
      keep = std::min(keep, 0.1);  // the past is about another machine
    } else {
      seconds = std::clamp(seconds, expected / kLimit, kLimit * expected);
    }
  }
  const auto n = static_cast<double>(experts);
  // The first sample replaces the guess by its own scale.
  if (samples_ == 0) {
    const double scale = seconds / (n * each_);
    wt_ *= scale;
    wnt_ *= scale;
  }
  for (double* sum : {&w_, &wn_, &wnn_, &wt_, &wnt_}) *sum *= keep;
  w_ += 1;
  wn_ += n;
  wnn_ += n * n;
  wt_ += seconds;
  wnt_ += n * seconds;
  ++samples_;
  Fit();
}

void ServingTime::Fit() {
  const double variance = w_ * wnn_ - wn_ * wn_;  // of n, times w squared
  if (variance > 1e-3 * w_ * wnn_) {
    each_ = (w_ * wnt_ - wn_ * wt_) / variance;
    overhead_ = (wt_ - each_ * wn_) / w_;
    if (each_ > 0 && overhead_ >= 0) return;
    if (each_ <= 0) {  // what was seen does not depend on n
      each_ = 0;
      overhead_ = wt_ / w_;
      return;
    }
  }
  overhead_ = 0;
  each_ = wnt_ / wnn_;
}

}  // namespace qnext
