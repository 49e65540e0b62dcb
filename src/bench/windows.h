// The slowest stretch of a generation: what a median hides.
#pragma once

#include <vector>

namespace qnext {

struct SlowestWindow {
  double tokens_per_second = 0;  // 0: there are no tokens
  double seconds = 0;            // the window's length: as asked, or all there is where that is less
};

// Of tokens that came one after the other with these `gaps` between them, the stretch of `window` seconds in which the
// fewest came. A token counts evenly over the time since the one before, so that a stretch may begin and end anywhere,
// and a stall is what it is.
SlowestWindow FindSlowestWindow(const std::vector<double>& gaps, double window);

}  // namespace qnext
