// What the decode and the prefill kernels of the experts share.
#pragma once

#include "kernels/cuda/experts.h"
#include "kernels/cuda/quantize_run.cuh"
#include "kernels/cuda/quantized_parts.cuh"

namespace qnext::cuda {

// ExpertsArgs as kernels see them.
struct ExpertsView {
  const uint8_t* base;
  int64_t stride;
  TileShape gate_shape, down_shape;  // up is shaped as gate
  int64_t gate_scales, gate_zeros;   // offsets of the planes within a matrix
  int64_t down_scales, down_zeros;
  int64_t up_offset, down_offset;  // of the matrices within a slot
  const int32_t* entry_slots;
  const float* entry_weights;
  QuantizedInputs x, x_up;  // the same where up reads gate's inputs
  Int8Rows hidden;
  float* out;
  int32_t m, entries;
  bool x_per_entry;

  __device__ TilePlanes Gate(int slot) const {
    const uint8_t* at = base + slot * stride;
    return {at, at + gate_scales, at + gate_zeros};
  }
  __device__ TilePlanes Up(int slot) const {
    const uint8_t* at = base + slot * stride + up_offset;
    return {at, at + gate_scales, at + gate_zeros};
  }
  __device__ TilePlanes Down(int slot) const {
    const uint8_t* at = base + slot * stride + down_offset;
    return {at, at + down_scales, at + down_zeros};
  }
  // The activation row of a pair row * entries + entry.
  __device__ int64_t InputRow(int pair) const { return x_per_entry ? pair : pair / entries; }
  __device__ QuantizedInputs Hidden() const {
    return {reinterpret_cast<const uint8_t*>(hidden.codes), hidden.scales, hidden.sums};
  }
};

// The sum of a token's entries, in order, of weight * value(entry); 0 where there is none.
template <typename Value>
__device__ inline float SumEntries(const ExpertsView& args, int token, const Value& value) {
  float sum = 0;
  for (int entry = 0; entry < args.entries; ++entry) {
    const int64_t pair = static_cast<int64_t>(token) * args.entries + entry;
    if (args.entry_slots[pair] >= 0) sum = __fmaf_rn(args.entry_weights[pair], value(entry), sum);
  }
  return sum;
}

inline Result<ExpertsView> MakeExpertsView(const ExpertsArgs& args) {
  const ExpertSlots& slots = args.slots;
  if (args.m < 1 || args.entries < 1 || args.m * args.entries > (int64_t{1} << 30)) {
    return InvalidArgument("no rows or no entries");
  }
  if (!AlignedTo(slots.base, 64) || slots.stride % 64 != 0) return InvalidArgument("slots are not 64-byte aligned");
  if (slots.down.in != slots.gate_up.out) return InvalidArgument("down does not read what gate and up write");
  if (slots.stride < ExpertSlots::BytesOf(slots.gate_up, slots.down)) return InvalidArgument("slots overlap");
  ExpertsView view = {};
  QNEXT_ASSIGN_OR_RETURN(view.gate_shape, Int4TileShape(slots.gate_up));
  QNEXT_ASSIGN_OR_RETURN(view.down_shape, Int4TileShape(slots.down));
  view.base = reinterpret_cast<const uint8_t*>(slots.base);
  view.stride = slots.stride;
  view.gate_scales = slots.gate_up.scales_offset();
  view.gate_zeros = slots.gate_up.zeros_offset();
  view.down_scales = slots.down.scales_offset();
  view.down_zeros = slots.down.zeros_offset();
  view.up_offset = slots.up_offset();
  view.down_offset = slots.down_offset();
  view.entry_slots = args.entry_slots;
  view.entry_weights = args.entry_weights;
  QNEXT_ASSIGN_OR_RETURN(view.x, MakeInputs(args.x, view.gate_shape, slots.gate_up.has_zeros));
  view.x_up = view.x;
  if (args.x_up.codes != nullptr) {
    QNEXT_ASSIGN_OR_RETURN(view.x_up, MakeInputs(args.x_up, view.gate_shape, slots.gate_up.has_zeros));
  }
  QNEXT_RETURN_IF_ERROR(MakeInputs(args.hidden, view.down_shape, true).status());
  view.hidden = args.hidden;
  view.out = args.out;
  view.m = static_cast<int32_t>(args.m);
  view.entries = static_cast<int32_t>(args.entries);
  view.x_per_entry = args.x_per_entry;
  return view;
}

}  // namespace qnext::cuda
