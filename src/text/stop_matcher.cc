#include "text/stop_matcher.h"

#include <algorithm>
#include <utility>

namespace qnext {
namespace {

constexpr size_t kRoom = 512;  // bytes of one piece of text, as good as always

}  // namespace

StopMatcher::StopMatcher(std::vector<std::string> stops) : stops_(std::move(stops)) {
  std::erase_if(stops_, [](const std::string& stop) { return stop.empty(); });
  std::ranges::stable_sort(stops_, [](const std::string& a, const std::string& b) { return a.size() > b.size(); });
  const size_t room = kRoom + (stops_.empty() ? 0 : stops_.front().size());
  held_.reserve(room);
  ready_.reserve(room);
}

std::string_view StopMatcher::Push(std::string_view text) {
  if (stopped()) return {};
  held_.append(text);
  return Release(/*at_end=*/false);
}

std::string_view StopMatcher::Finish() { return stopped() ? std::string_view() : Release(/*at_end=*/true); }

std::string_view StopMatcher::Release(bool at_end) {
  for (size_t begin = 0; begin < held_.size() && !stops_.empty(); ++begin) {
    const std::string_view rest = std::string_view(held_).substr(begin);
    for (const std::string& stop : stops_) {  // the longest first: one that may still come true outranks a shorter one
      if (!at_end && rest.size() < stop.size() && stop.starts_with(rest)) return Take(begin);
      if (!rest.starts_with(stop)) continue;
      matched_ = stop;
      const std::string_view before = Take(begin);
      held_.clear();
      return before;
    }
  }
  return Take(held_.size());
}

std::string_view StopMatcher::Take(size_t bytes) {
  ready_.assign(held_, 0, bytes);
  held_.erase(0, bytes);
  return ready_;
}

}  // namespace qnext
