// The geometry of expert slots in VRAM: slots lie one after the other in a range of addresses that is mapped in chunks,
// so a chunk must be whole pages of the driver and whole slots.
#pragma once

#include <cstdint>

namespace qnext {

struct SlotGeometry {
  int64_t stride = 0;           // from slot to slot: the expert's bytes, rounded up so that chunks come out whole
  int64_t slots_per_chunk = 0;  // of kLeastChunk at least

  // Chunks are as small as whole pages and `least_chunk` allow.
  static constexpr int64_t kLeastChunk = int64_t{64} << 20;
  static SlotGeometry For(int64_t expert_bytes, int64_t least_chunk = kLeastChunk);

  int64_t chunk_bytes() const { return stride * slots_per_chunk; }
  // What `slots` slots take: whole chunks and, for the rest, whole pages.
  int64_t BytesFor(int64_t slots) const;
  // The most slots that fit.
  int64_t SlotsIn(int64_t bytes) const;

  static constexpr int64_t kPageBytes = int64_t{2} << 20;  // the granularity of cuMemMap
};

}  // namespace qnext
