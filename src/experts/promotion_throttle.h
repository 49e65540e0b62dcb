// Whether promotions pay: under routing that is skewed in time they turn the link's idle time into hits; under routing
// that is not they only take the link from fetches. Measured, not assumed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace qnext {

struct PromotionThrottleOptions {
  int64_t most = 96;        // uploads of a step while they pay; 96 of 1.6 MB are 4 ms of a 40 GB/s link
  int64_t least = 4;        // uploads of a step while they do not: enough to notice when that changes
  int64_t window = 32;      // steps after which an expert's uses no longer count for its promotion
  double open_above = 0.4;  // hits gained by one promotion
  double close_below = 0.2;
};

// The gain of a promotion is what the one who came was used within the window, less what the one who left would have
// been. Where all experts are alike the two are equal, whatever the cache hits. One thread at a time; allocates only
// when made.
class PromotionThrottle {
 public:
  PromotionThrottle(const PromotionThrottleOptions& options, int64_t ids);

  void Came(int32_t id, int64_t step);  // promoted or kept after a fetch
  void Left(int32_t id, int64_t step);  // evicted
  void Used(int32_t id, int64_t step);  // once per step, wherever the expert is

  // How many uploads the step may ask for.
  int64_t EndStep();
  // Hits gained by one promotion, of late; 0 before anything is known.
  double gain() const { return came_ > 0 && left_ > 0 ? used_after_coming_ / came_ - used_after_leaving_ / left_ : 0; }
  bool open() const { return open_; }

 private:
  struct Event {
    int64_t step = 0;
    bool came = false;
  };

  PromotionThrottleOptions options_;
  std::vector<Event> last_;  // [ids] what happened to each last
  int64_t steps_ = 0;
  bool open_ = true;
  // Decayed sums.
  double came_ = 0, left_ = 0, used_after_coming_ = 0, used_after_leaving_ = 0;
};

}  // namespace qnext
