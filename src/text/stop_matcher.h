// Stop strings that may span token borders.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace qnext {

// Push returns the text that can no longer be part of a stop string, valid until the next call; what could still become
// one is held back. After a
// match, `stopped()` is true, the text before the match has been returned, and further text is dropped. When several
// stop strings match, the one that begins first wins, then the longest; so a match is not reported while a stop string
// that began no later may still come true, and Finish, which ends that wait, may be what reports it. How the text is
// cut into pushes makes no difference to the result. Empty stop strings are ignored. Bytes are compared: give it whole
// characters if stop strings are text. Allocates only for pieces of some hundred bytes. One thread at a time.
class StopMatcher {
 public:
  explicit StopMatcher(std::vector<std::string> stops);

  std::string_view Push(std::string_view text);
  std::string_view Finish();  // what was held back and is no stop string, when generation ends for another reason
  bool stopped() const { return matched_.has_value(); }
  const std::optional<std::string>& matched() const { return matched_; }

 private:
  // Returns what is certain of held_; `at_end` says that no text will follow it.
  std::string_view Release(bool at_end);
  std::string_view Take(size_t bytes);

  std::vector<std::string> stops_;  // none empty, the longest first
  std::string held_;
  std::string ready_;
  std::optional<std::string> matched_;
};

}  // namespace qnext
