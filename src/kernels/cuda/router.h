// The router and the split of its choice into what is in VRAM (hit), what is read over PCIe (fetch) and what the CPU
// computes. Nobody derives the split a second time: everything that follows reads these lists.
#pragma once

#include "kernels/cuda/expert_mail.h"
#include "kernels/cuda/launch.h"
#include "kernels/kernels.h"

namespace qnext::cuda {

// Where the experts of one layer are, frozen for the step, and how many may be fetched in this layer.
struct ExpertPlacement {
  const int32_t* slot_map;     // [E] slot of each expert in VRAM, or -1. Null: an expert's slot is its own number
  const int32_t* fetch_slots;  // [fetch capacity] slots that fetched experts go to, or null: nothing is fetched
  const int32_t* fetch_quota;  // one number (may be mapped host memory), at most the capacity; null: 0
};

// What the CPU has to do for this layer and what has to be fetched; device or mapped host memory.
struct ExpertLists {
  int32_t* cpu_count;    // pairs for the CPU
  int32_t* cpu_rows;     // [m*top] the activation row of each pair; null: only counted
  int32_t* cpu_experts;  // [m*top]
  float* cpu_weights;    // [m*top]
  int32_t* fetch_count;
  int32_t* fetch_experts;  // [capacity] expert that goes to fetch_slots[i]
};

// The same for the CPU, in mapped host memory, with the rows that its experts read.
struct ExpertPost {
  ExpertMail* mail;      // null: nothing is posted
  const uint32_t* step;  // the number of the last finished step: the mail is the next one's
  Int8Rows rows;         // [m] device memory
  Int8Rows host_rows;    // [m] mapped host memory, as wide
};

// softmax over E logits, the top `top` (ties: the lower index), renormalised if `normalize`. Then in order of row and
// rank: an expert in the slot map is a hit; one already fetched for an earlier row of this call is, too; a further miss
// is fetched while the quota lasts; the rest goes to the CPU. `forced`: the choice is given, only weights are computed.
struct RouterSplitArgs {
  const float* logits;       // [m, E]
  const float* shared_gate;  // [m] logits of the shared expert's gate, or null: no shared entry
  const int32_t* forced;     // [m, top] or null
  ExpertPlacement placement;
  int32_t shared_slot;   // slot of the shared expert in the same layout as the routed ones, or -1
  int32_t* experts;      // [m, top]
  float* weights;        // [m, top]
  int32_t* entry_slots;  // [m, top + 1] slot of each chosen expert that the GPU computes, -1: not here; the last
                         // entry is the shared expert
  float* entry_weights;  // [m, top + 1] its weight; sigmoid(shared_gate) for the last
  ExpertLists lists;     // cpu_count null: every expert is expected to be in the slot map
  ExpertPost post;       // only with lists
  int64_t m, num_experts, top;
  bool normalize;
};
Status LaunchRouterSplit(const RouterSplitArgs& args, Stream stream);

}  // namespace qnext::cuda
