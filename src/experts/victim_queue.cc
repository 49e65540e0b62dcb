#include "experts/victim_queue.h"

#include <algorithm>

namespace qnext {
namespace {

constexpr std::ptrdiff_t kListed = 512;

}  // namespace

VictimQueue::VictimQueue(const SlotTable& table, const CachePolicy& policy) : table_(table), policy_(policy) {
  entries_.reserve(static_cast<size_t>(table.max_slots()));
}

bool VictimQueue::Valid(const Entry& entry, int64_t protect_from) const {
  if (table_.state(entry.slot) != SlotState::kResident) return false;
  const int32_t id = table_.owner(entry.slot);
  return policy_.Value(id) == entry.value && policy_.LastUse(id) < protect_from;
}

int32_t VictimQueue::Peek(int64_t protect_from) {
  while (!entries_.empty() && !Valid(entries_.back(), protect_from)) entries_.pop_back();
  if (entries_.empty()) Rebuild(protect_from);
  return entries_.empty() ? -1 : entries_.back().slot;
}

void VictimQueue::Rebuild(int64_t protect_from) {
  for (int32_t slot = 0; slot < static_cast<int32_t>(table_.max_slots()); ++slot) {
    if (table_.state(slot) != SlotState::kResident) continue;
    const int32_t id = table_.owner(slot);
    if (policy_.LastUse(id) < protect_from) entries_.push_back({.value = policy_.Value(id), .slot = slot});
  }
  const auto less = [](const Entry& a, const Entry& b) {
    return a.value < b.value || (a.value == b.value && a.slot < b.slot);
  };
  if (static_cast<std::ptrdiff_t>(entries_.size()) > kListed) {
    std::nth_element(entries_.begin(), entries_.begin() + kListed, entries_.end(), less);
    entries_.resize(static_cast<size_t>(kListed));
  }
  std::sort(entries_.begin(), entries_.end(), [&](const Entry& a, const Entry& b) { return less(b, a); });
}

}  // namespace qnext
