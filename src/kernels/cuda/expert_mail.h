// The mailbox of a decode step: what the GPU tells the CPU about each layer's experts, and what the CPU answers, in
// mapped host memory. docs/expert-cache.md says who writes what when.
#pragma once

#include <cstdint>

#include "kernels/cuda/launch.h"

namespace qnext::cuda {

constexpr int64_t kMostChosenExperts = 32;  // of one row
constexpr int64_t kMostMailPairs = kMaxDecodeRows * kMostChosenExperts;
constexpr int64_t kMostFetched = kMostMailPairs;  // experts of one layer and step

// GPU to CPU, one for each MoE layer: the split of the step's choice. Complete when `posted` is the step's number.
struct alignas(64) ExpertMail {
  uint32_t posted;
  int32_t cpu_count;    // pairs for the CPU
  int32_t fetch_count;  // experts that the GPU fetches by itself
  int32_t reserved;
  uint64_t split_ns;   // when the split was known, on the GPU's clock
  uint64_t fetch_ns;   // when the GPU began to fetch; written later, before the next layer's mail, as those that follow
  uint64_t served_ns;  // when the GPU had computed its part of the layer
  uint64_t summed_ns;  // when the CPU's part had been added
  int32_t chosen[kMostMailPairs];  // [m, top]
  int32_t cpu_rows[kMostMailPairs];
  int32_t cpu_experts[kMostMailPairs];
  float cpu_weights[kMostMailPairs];
  int32_t fetch_experts[kMostFetched];
};

// Host to GPU: what changed in the slot map since the step before.
struct SlotChange {
  int32_t index;  // into the slot map [layers, E]
  int32_t slot;
};

}  // namespace qnext::cuda
