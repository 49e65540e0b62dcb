// All memory of a model on a GPU, laid out by one function: counted for the plan, then taken.
#pragma once

#include <optional>

#include "base/arena.h"
#include "base/status.h"
#include "model/cuda/cuda_model.h"
#include "model/cuda/gpu_state.h"
#include "model/cuda/gpu_workspace.h"
#include "model/cuda/weight_plan.h"

namespace qnext::cuda {

// In GPU memory, but for an embedding that is not.
struct ModelPlaces {
  GpuWeightPlaces weights;
  GpuState state;
  GpuWorkspace ws;
  uint16_t* routing = nullptr;  // [moe layers, routing_positions, top] simulated choices; null: the routers decide
  int64_t routing_positions = 0;
};
ModelPlaces LayOutModel(const ModelConfig& config, const CudaModelOptions& options, const GpuWeightPlan& weights,
                        EmbeddingPlace embedding, Arena& vram, Arena& host);

// Pinned host memory through which calls and the GPU talk.
struct HostPlaces {
  GpuRows block_rows;           // [rows of a block]
  GpuRows decode_rows;          // [kMaxDecodeRows]
  uint64_t* results = nullptr;  // [kMaxDecodeRows] FinishStepArgs::results
  float* logits = nullptr;      // [kLogitRows, V]
};
HostPlaces LayOutHost(const ModelConfig& config, const CudaModelOptions& options, Arena& host);

// The rows of the plan, the embedding in GPU memory unless only the rest fits `vram_bytes`. kResourceExhausted names
// `bound` ("--vram", "GPU memory"), the amounts and the largest rows. No bound: everything fits.
Result<CudaMemoryPlan> PlanMemory(const ModelConfig& config, const CudaModelOptions& options,
                                  const GpuWeightPlan& weights, std::optional<int64_t> vram_bytes, const char* bound);

// What a process takes of the GPU before it has asked for anything: the context, the code of the kernels, graphs.
// Measured on an H100 with driver 580: NOTES say how much; the plan rounds up.
constexpr int64_t kContextBytes = int64_t{512} << 20;

}  // namespace qnext::cuda
