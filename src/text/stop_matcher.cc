#include "text/stop_matcher.h"

#include <algorithm>
#include <utility>

namespace qnext {

StopMatcher::StopMatcher(std::vector<std::string> stops) : stops_(std::move(stops)) {
  std::erase_if(stops_, [](const std::string& stop) { return stop.empty(); });
  std::ranges::stable_sort(stops_, [](const std::string& a, const std::string& b) { return a.size() > b.size(); });
}

std::string StopMatcher::Push(std::string_view text) {
  if (stopped()) return {};
  if (stops_.empty()) return std::string(text);
  held_.append(text);
  return Release(/*at_end=*/false);
}

std::string StopMatcher::Finish() { return stopped() ? std::string() : Release(/*at_end=*/true); }

std::string StopMatcher::Release(bool at_end) {
  for (size_t begin = 0; begin < held_.size(); ++begin) {
    const std::string_view rest = std::string_view(held_).substr(begin);
    for (const std::string& stop : stops_) {  // the longest first: one that may still come true outranks a shorter one
      if (!at_end && rest.size() < stop.size() && stop.starts_with(rest))
        return std::exchange(held_, std::string(rest)).substr(0, begin);
      if (!rest.starts_with(stop)) continue;
      matched_ = stop;
      return std::exchange(held_, {}).substr(0, begin);
    }
  }
  return std::exchange(held_, {});
}

}  // namespace qnext
