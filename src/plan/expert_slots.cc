#include "plan/expert_slots.h"

#include <algorithm>
#include <numeric>

#include "base/range.h"

namespace qnext {
namespace {

// A stride of whole 16 KiB makes 128 slots a whole number of pages, and costs nothing for the 80B model's experts.
constexpr int64_t kStrideStep = int64_t{16} << 10;

}  // namespace

SlotGeometry SlotGeometry::For(int64_t expert_bytes, int64_t least_chunk) {
  SlotGeometry geometry;
  geometry.stride = RoundUp(std::max<int64_t>(1, expert_bytes), kStrideStep);  // a model may have no experts
  const int64_t whole = kPageBytes / std::gcd(geometry.stride, kPageBytes);    // slots that fill pages exactly
  geometry.slots_per_chunk = RoundUp(std::max<int64_t>(1, CeilDiv(least_chunk, geometry.stride)), whole);
  return geometry;
}

int64_t SlotGeometry::BytesFor(int64_t slots) const { return RoundUp(slots * stride, kPageBytes); }

int64_t SlotGeometry::SlotsIn(int64_t bytes) const { return bytes <= 0 ? 0 : bytes / kPageBytes * kPageBytes / stride; }

}  // namespace qnext
