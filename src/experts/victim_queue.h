// Who leaves next: the residents of lowest value, found by one walk over all slots for every few hundred evictions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "experts/cache_policy.h"
#include "experts/slot_table.h"

namespace qnext {

// A value grows only by use, so a list of the lowest, made at one time, stays the list of the lowest among those not
// used since; those that were are passed over. (An expert that came after the list was made is not in it: it waits for
// the next.) One thread at a time; the table and the policy must outlive it; allocates only when made.
class VictimQueue {
 public:
  VictimQueue(const SlotTable& table, const CachePolicy& policy);

  // The resident slot of lowest value (the lowest slot on ties) whose expert was last used before `protect_from`;
  // -1: none. The same until something is evicted or used.
  int32_t Peek(int64_t protect_from);
  // Forgets the list, so that the next Peek sees everything as it is. Needed after seeding.
  void Invalidate() { entries_.clear(); }

 private:
  struct Entry {
    double value;
    int32_t slot;
  };

  bool Valid(const Entry& entry, int64_t protect_from) const;
  void Rebuild(int64_t protect_from);

  const SlotTable& table_;
  const CachePolicy& policy_;
  std::vector<Entry> entries_;  // the lowest at the back
};

}  // namespace qnext
