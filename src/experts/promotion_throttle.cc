#include "experts/promotion_throttle.h"

#include "base/check.h"

namespace qnext {

PromotionThrottle::PromotionThrottle(const PromotionThrottleOptions& options, int64_t ids)
    : options_(options), last_(static_cast<size_t>(ids)) {
  QNEXT_CHECK(options.least >= 0 && options.most >= options.least && options.window > 0 &&
                  options.open_above >= options.close_below,
              "throttle options are in order");
}

void PromotionThrottle::Came(int32_t id, int64_t step) {
  last_[static_cast<size_t>(id)] = {.step = step, .came = true};
  came_ += 1;
}

void PromotionThrottle::Left(int32_t id, int64_t step) {
  last_[static_cast<size_t>(id)] = {.step = step, .came = false};
  left_ += 1;
}

void PromotionThrottle::Used(int32_t id, int64_t step) {
  const Event& event = last_[static_cast<size_t>(id)];
  if (event.step == 0 || step <= event.step || step - event.step > options_.window) return;
  (event.came ? used_after_coming_ : used_after_leaving_) += 1;
}

int64_t PromotionThrottle::EndStep() {
  ++steps_;
  // The sums forget with a time constant of two windows, and are believed after as long.
  const double keep = 1 - 1 / (2 * static_cast<double>(options_.window));
  for (double* sum : {&came_, &left_, &used_after_coming_, &used_after_leaving_}) *sum *= keep;
  const bool known = steps_ > 2 * options_.window && came_ >= 32 && left_ >= 32;
  if (known && open_ && gain() < options_.close_below) open_ = false;
  if (known && !open_ && gain() > options_.open_above) open_ = true;
  return open_ ? options_.most : options_.least;
}

}  // namespace qnext
