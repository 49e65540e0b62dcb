#include "experts/cache_policy.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace qnext {
namespace {

// A decayed count c at step t is kept as log2(c) + t / half_life: the decay is the same for all, so only uses change
// the number. This is log2(2^key + weight * 2^(t / half_life)).
double AddUse(double key, double log_weight, double now) {
  const double use = log_weight + now;
  const double high = std::max(key, use), low = std::min(key, use);
  return high + std::log2(1 + std::exp2(low - high));
}

}  // namespace

std::optional<CachePolicyKind> ParseCachePolicy(std::string_view name) {
  for (const auto kind :
       {CachePolicyKind::kLru, CachePolicyKind::kDecayedLfu, CachePolicyKind::kSecondTouch, CachePolicyKind::kStatic}) {
    if (name == CachePolicyName(kind)) return kind;
  }
  return std::nullopt;
}

std::string_view CachePolicyName(CachePolicyKind kind) {
  switch (kind) {
    case CachePolicyKind::kLru:
      return "lru";
    case CachePolicyKind::kDecayedLfu:
      return "lfu";
    case CachePolicyKind::kSecondTouch:
      return "second-touch";
    case CachePolicyKind::kStatic:
      return "static";
  }
  return "unknown";
}

CachePolicy::CachePolicy(const CachePolicyOptions& options, int64_t ids)
    : options_(options),
      values_(static_cast<size_t>(ids), kFreeSlot),
      last_(static_cast<size_t>(ids), -1),
      previous_(static_cast<size_t>(ids), -1) {
  QNEXT_CHECK(options.half_life > 0 && options.ghost_factor > 0, "policy options are positive");
}

void CachePolicy::Touch(int32_t id, int64_t step) {
  const auto i = static_cast<size_t>(id);
  if (last_[i] != step) {
    previous_[i] = last_[i];
    last_[i] = step;
  }
  switch (options_.kind) {
    case CachePolicyKind::kLru:
    case CachePolicyKind::kSecondTouch:
      values_[i] = std::max(values_[i], static_cast<double>(step));
      break;
    case CachePolicyKind::kDecayedLfu:
      values_[i] = AddUse(values_[i], 0, static_cast<double>(step) / options_.half_life);
      break;
    case CachePolicyKind::kStatic:
      break;
  }
}

void CachePolicy::Seed(int32_t id, int64_t step, double rate) {
  const auto i = static_cast<size_t>(id);
  if (!(rate > 0)) return;
  switch (options_.kind) {
    case CachePolicyKind::kLru:
    case CachePolicyKind::kSecondTouch:
    case CachePolicyKind::kStatic:
      // Between what the step before used and what `step` will use; by rate among themselves.
      values_[i] = std::max(values_[i], static_cast<double>(step) - 1 + 0.999 * std::min(rate, 1.0));
      break;
    case CachePolicyKind::kDecayedLfu:
      // The count that uses at this rate would have settled at.
      values_[i] = AddUse(values_[i], std::log2(rate * options_.half_life / std::log(2.0)),
                          static_cast<double>(step) / options_.half_life);
      break;
  }
}

bool CachePolicy::Admits(int32_t id, int64_t step, double victim_value) const {
  const auto i = static_cast<size_t>(id);
  switch (options_.kind) {
    case CachePolicyKind::kLru:
      return victim_value < values_[i];
    case CachePolicyKind::kDecayedLfu:
      return victim_value < values_[i];
    case CachePolicyKind::kSecondTouch: {
      if (victim_value == kFreeSlot) return true;
      const double age = static_cast<double>(step) - victim_value;
      return previous_[i] >= 0 && static_cast<double>(step - previous_[i]) <= options_.ghost_factor * age;
    }
    case CachePolicyKind::kStatic:
      return false;
  }
  return false;
}

double CachePolicy::Priority(int32_t id) const {
  const auto i = static_cast<size_t>(id);
  return options_.kind == CachePolicyKind::kDecayedLfu ? values_[i] : static_cast<double>(previous_[i]);
}

}  // namespace qnext
