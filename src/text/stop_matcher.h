// Stop strings that may span token borders.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace qnext {

// Push returns the text that can no longer be part of a stop string; what could still become one is held back. After a
// match, `stopped()` is true, the text before the match has been returned, and further text is dropped. When several
// stop strings match, the one that begins first wins, then the longest. Empty stop strings are ignored. One thread at a
// time.
class StopMatcher {
 public:
  explicit StopMatcher(std::vector<std::string> stops);

  std::string Push(std::string_view text);
  std::string Finish();  // what was held back, when generation ends for another reason
  bool stopped() const { return matched_.has_value(); }
  const std::optional<std::string>& matched() const { return matched_; }

 private:
  std::vector<std::string> stops_;
  std::string held_;
  std::optional<std::string> matched_;
};

}  // namespace qnext
