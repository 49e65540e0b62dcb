// All memory of a model on a GPU, laid out by one function: counted for the plan, then taken.
#pragma once

#include <optional>

#include "base/arena.h"
#include "base/status.h"
#include "model/cuda/cuda_model.h"
#include "model/cuda/gpu_state.h"
#include "model/cuda/gpu_workspace.h"
#include "model/cuda/hybrid_places.h"
#include "model/cuda/weight_plan.h"

namespace qnext::cuda {

// In GPU memory, but for an embedding that is not.
struct ModelPlaces {
  GpuWeightPlaces weights;
  GpuState state;
  GpuWorkspace ws;
  uint16_t* routing = nullptr;  // [moe layers, routing_positions, top] simulated choices; null: the routers decide
  int64_t routing_positions = 0;
  HybridPlaces hybrid;  // only where not all experts are in GPU memory
};
ModelPlaces LayOutModel(const ModelConfig& config, const CudaModelOptions& options, const GpuWeightPlan& weights,
                        EmbeddingPlace embedding, Arena& vram, Arena& host);

// Pinned host memory through which calls and the GPU talk.
struct HostPlaces {
  GpuRows block_rows;           // [rows of a block]
  GpuRows decode_rows;          // [kMaxDecodeRows]
  uint64_t* results = nullptr;  // [kMaxDecodeRows] FinishStepArgs::results
  float* logits = nullptr;      // [kLogitRows, V]
  HybridMail mail;              // only where not all experts are in GPU memory
};
HostPlaces LayOutHost(const ModelConfig& config, const CudaModelOptions& options, const GpuWeightPlan& weights,
                      Arena& host);

// Refuses options that cannot be; fills in what follows from the configuration.
Status CheckOptions(const CudaModelOptions& options);
CudaModelOptions Complete(CudaModelOptions options, const ModelConfig& config);

// The rows of the plan. Everything in GPU memory, or all but the embedding, if that fits `vram_bytes`; otherwise
// `weights` becomes a plan with a cache of as many experts as fit. kResourceExhausted names `bound` ("--vram", "GPU
// memory"), the amounts and the largest rows where not even the rest fits. No bound: everything fits.
Result<CudaMemoryPlan> PlanMemory(const ModelConfig& config, const CudaModelOptions& options, GpuWeightPlan& weights,
                                  std::optional<int64_t> vram_bytes, const char* bound);

// What a process takes of the GPU before it has asked for anything: the context, the code of the kernels, graphs.
// Measured on an H100 with driver 580: 615 MiB with a decode graph of the 80B; rounded up.
constexpr int64_t kContextBytes = int64_t{640} << 20;
// What program, tokenizer and the driver in the process take of RAM: an allowance.
constexpr int64_t kProcessBytes = int64_t{1} << 30;

}  // namespace qnext::cuda
