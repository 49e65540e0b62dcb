// The experts of a layer on the GPU: for each row and entry, down(silu(gate · x) ⊙ (up · x)), summed with its weight.
#pragma once

#include "kernels/cuda/launch.h"
#include "kernels/kernels.h"
#include "quant/int4_matrix.h"

namespace qnext::cuda {

// One expert is one block: gate, up and down packed one after the other (docs/int4-layout.md), each on a multiple of 64
// bytes; blocks are `stride` apart. Slot s is at base + s * stride.
struct ExpertSlots {
  const std::byte* base;
  int64_t stride;
  Int4Layout gate_up;  // [I, D]
  Int4Layout down;     // [D, I]

  int64_t up_offset() const { return gate_up.bytes(); }
  int64_t down_offset() const { return 2 * gate_up.bytes(); }
  static int64_t BytesOf(const Int4Layout& gate_up, const Int4Layout& down) {
    return 2 * gate_up.bytes() + down.bytes();
  }
};

struct ExpertsArgs {
  ExpertSlots slots;
  const int32_t* entry_slots;  // [m, entries], -1: skip
  const float* entry_weights;  // [m, entries]
  Int8Rows x;                  // [m] rows, or [m*entries] rows with x_per_entry (act-order checkpoints)
  Int8Rows x_up;               // codes null: the same as x; otherwise up's own order of inputs
  bool x_per_entry;
  Int8Rows hidden;  // [m*entries, I padded] scratch: silu(gate) * up, quantized (one launch to the next)
  float* out;       // [m, D] = sum over entries, in order, of weight * down(...); 0 where there is none
  int64_t m, entries;
};
// Two matrix-vector launches; refuses m > kMaxDecodeRows, which is LaunchExpertsGrouped's. Int8 codes (x, x_up, hidden)
// are 16-byte aligned.
Status LaunchExperts(const ExpertsArgs& args, Stream stream);

// Prefill: rows grouped by slot, so that each expert's weights are read once per tile of rows.
struct ExpertGroupsScratch {
  int32_t* counts;      // [slots of the layer + 1] where each slot's pairs end (running sums), the shared slot last
  int32_t* pair_rows;   // [m*entries] pairs (row * entries + entry) in order of slot, stable
  float* pair_out;      // [m*entries, D] unweighted outputs
  int64_t slots_begin;  // the layer's slots are slots_begin .. slots_begin + slots_count - 1 (and shared_slot)
  int64_t slots_count;
  int32_t shared_slot;  // or -1
};
Status LaunchExpertsGrouped(const ExpertsArgs& args, const ExpertGroupsScratch& scratch, Stream stream);

// The same in parts, for a layer whose experts are not all in VRAM at once. entry_slots then hold the experts' own
// numbers (slots_begin is 0, the shared one is slots_count), and each LaunchExpertsGroupedPart computes those that
// `slots` [slots_count + 1] gives a slot; all others have -1. First LaunchExpertsGroups, then parts that together
// cover every pair, then LaunchExpertsCombine.
Status LaunchExpertsGroups(const ExpertsArgs& args, const ExpertGroupsScratch& scratch, Stream stream);
Status LaunchExpertsGroupedPart(const ExpertsArgs& args, const ExpertGroupsScratch& scratch, const int32_t* slots,
                                Stream stream);
Status LaunchExpertsCombine(const ExpertsArgs& args, const ExpertGroupsScratch& scratch, Stream stream);

}  // namespace qnext::cuda
