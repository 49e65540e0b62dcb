// The buffers through which a model whose experts are partly in RAM runs: laid out once, in GPU memory and in pinned
// memory that both sides see.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/arena.h"
#include "config/model_config.h"
#include "kernels/cuda/expert_mail.h"
#include "kernels/kernels.h"
#include "model/cuda/weight_plan.h"

namespace qnext::cuda {

// Fetch slots that a layer can have at most, and with that its quota.
constexpr int64_t kMostFetchSlots = 8;
// Changes of the slot map that a step brings along; more are copied as a whole map before it.
constexpr int64_t kMostSlotChanges = 4096;
// Experts that stream into VRAM together while a prompt runs, and how many such chunks there are: as many as arrive
// while a mixer works, and no more than two layers need.
constexpr int64_t kStreamChunk = 16, kMostStreamChunks = 12;
inline int64_t StreamSlots(int64_t experts) {
  return kStreamChunk * std::min(kMostStreamChunks, 2 * CeilDiv(experts, kStreamChunk));
}

// In GPU memory. L MoE layers, E experts. Pointers are null while the arena counts.
struct HybridPlaces {
  int32_t* fetch_slots = nullptr;    // [L, kMostFetchSlots]
  int32_t* fetch_quotas = nullptr;   // [L]
  int32_t* cpu_counts = nullptr;     // [L] of the step
  int32_t* fetch_counts = nullptr;   // [L] of the step
  int32_t* fetch_experts = nullptr;  // [L, kMostFetched] of the step
  int32_t* part_slots = nullptr;     // [L, parts(), E + 1] ExpertGroups: where a part's experts are

  // The parts of a layer's experts in a prompt: what is cached, then chunk by chunk what is not.
  static int64_t Parts(int64_t experts) { return 1 + CeilDiv(experts, kStreamChunk); }
  static HybridPlaces LayOut(const GpuWeightPlan& plan, Arena& vram);
};

// In pinned host memory.
struct HybridMail {
  ExpertMail* mails = nullptr;      // [L]
  uint32_t* done = nullptr;         // [L] the step whose CPU part is there
  uint32_t* abort = nullptr;        // not 0: nobody waits any more
  float* sum = nullptr;             // [kMaxDecodeRows, D] the CPU's part of a layer
  Int8Rows rows = {};               // [kMaxDecodeRows, D] what its experts read
  int32_t* change_count = nullptr;  // of the step, [1]
  SlotChange* changes = nullptr;    // [kMostSlotChanges]
  int32_t* slot_map = nullptr;      // [L, E]
  int32_t* fetch_slots = nullptr;   // [L, kMostFetchSlots]
  int32_t* fetch_quotas = nullptr;  // [L]
  int32_t* part_slots = nullptr;    // as in HybridPlaces
  int32_t* group_ends = nullptr;    // [L, E + 1] of the block: ExpertGroupsScratch::counts

  static HybridMail LayOut(const ModelConfig& config, const GpuWeightPlan& plan, Arena& host);
};

}  // namespace qnext::cuda
