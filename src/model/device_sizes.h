// What the GPU side of the model needs besides weights, for the memory plan: the one place where it is worked out
// before anything is allocated. Pure arithmetic on the configuration; needs no GPU.
#pragma once

#include <cstddef>
#include <cstdint>

#include "config/model_config.h"
#include "kernels/kv_page.h"
#include "plan/memory_plan.h"

namespace qnext {

struct DeviceSizeOptions {
  KvType kv_type = KvType::kBF16;
  int64_t parallel = 1;         // sequences that decode together
  int64_t ctx = 0;              // tokens of each
  int64_t block_tokens = 1024;  // a prefill's inner block: activations of as many rows
  int64_t super_block = 32768;  // tokens whose residual stream goes through a layer before the next one begins
};

DeviceSizes DeviceSizesFor(const ModelConfig& config, const DeviceSizeOptions& options);

// The parts, each as the headers of kernels/cuda have it.
int64_t KvPageBytes(const ModelConfig& config,
                    KvType type);                        // a page of all full-attention layers, and its table entry
int64_t RecurrentStateBytes(const ModelConfig& config);  // of one sequence
int64_t WorkspaceBytes(const ModelConfig& config, const DeviceSizeOptions& options);

// Floating-point operations of one prompt token in the layers, attention over the past left out.
double PrefillFlopsPerToken(const ModelConfig& config);

}  // namespace qnext
