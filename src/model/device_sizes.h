// The memory plan of a model on a GPU, by the code that lays its memory out; needs no GPU and no weights.
#pragma once

#include <cstddef>
#include <cstdint>

#include "config/model_config.h"
#include "kernels/kv_page.h"
#include "model/cuda/cuda_model.h"
#include "model/cuda/weight_plan.h"
#include "plan/memory_plan.h"

namespace qnext {

DeviceSizes DeviceSizesFor(const ModelConfig& config, KvType kv_type);

// What a model takes of VRAM and RAM under budgets: the rows, and the experts cached, of the layout that is allocated
// when it is loaded with the same options (whose own budgets are not looked at). Where not even the least layout fits,
// its rows and by how much. Errors: options that cannot be, and what the kernels cannot run.
Result<MemoryPlan> PlanDevice(const ModelConfig& config, const cuda::CudaModelOptions& options,
                              const GpuWeightPlan& weights, int64_t vram, int64_t ram);

// The parts, each as the headers of kernels/cuda have it.
int64_t KvPageBytes(const ModelConfig& config,
                    KvType type);                        // a page of all full-attention layers, and its table entry
int64_t RecurrentStateBytes(const ModelConfig& config);  // of one sequence

// Floating-point operations of one prompt token in the layers, attention over the past left out.
double PrefillFlopsPerToken(const ModelConfig& config);

}  // namespace qnext
