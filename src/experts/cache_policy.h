// Which experts are worth a slot: the only part of the expert cache that holds an opinion. docs/expert-cache.md
// compares the policies.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace qnext {

enum class CachePolicyKind : uint8_t {
  kLru,          // least recently used leaves, every miss may enter
  kDecayedLfu,   // uses count half after every half-life; whoever has the most stays
  kSecondTouch,  // as kLru, but an expert enters only when its last two uses are closer together than the age of the
                 // one that would leave, times a factor
  kStatic,       // never changes after seeding: the baseline that others have to beat
};

std::optional<CachePolicyKind> ParseCachePolicy(std::string_view name);  // "lru", "lfu", "second-touch", "static"
std::string_view CachePolicyName(CachePolicyKind kind);

struct CachePolicyOptions {
  CachePolicyKind kind = CachePolicyKind::kLru;
  double half_life = 64;    // kDecayedLfu: steps
  double ghost_factor = 1;  // kSecondTouch
};

// Knows every expert of every layer by one number (its id), resident or not. A value grows only when its expert is used
// or seeded, so an order of values stays right for all that were not. One thread at a time; allocates only when made.
class CachePolicy {
 public:
  CachePolicy(const CachePolicyOptions& options, int64_t ids);

  // The step used the expert; several times (several rows) count once for recency and each for frequency.
  void Touch(int32_t id, int64_t step);
  // A prompt of many tokens used the expert in `rate` of them, just before `step` begins.
  void Seed(int32_t id, int64_t step, double rate);

  // What a resident expert is worth: the lowest leaves first.
  double Value(int32_t id) const { return values_[static_cast<size_t>(id)]; }
  // The step that used it last; -1: none has.
  int64_t LastUse(int32_t id) const { return last_[static_cast<size_t>(id)]; }

  // Whether an expert that `step` has touched should get the slot of one worth `victim_value`. A free slot is worth
  // kFreeSlot.
  static constexpr double kFreeSlot = -1e300;
  bool Admits(int32_t id, int64_t step, double victim_value) const;
  // Which of several missing experts to admit first: the highest.
  double Priority(int32_t id) const;

 private:
  CachePolicyOptions options_;
  std::vector<double> values_;
  std::vector<int64_t> last_, previous_;
};

}  // namespace qnext
