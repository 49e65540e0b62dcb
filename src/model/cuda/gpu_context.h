// What the parts of CudaModel share: the loaded model's places and the stream that everything runs in.
#pragma once

#include <chrono>
#include <vector>

#include "config/model_config.h"
#include "hw/cuda/handles.h"
#include "model/cuda/cuda_model.h"
#include "model/cuda/gpu_block.h"
#include "model/cuda/gpu_forward.h"
#include "model/cuda/model_memory.h"
#include "model/weights.h"

namespace qnext::cuda {

// Nothing that works takes so long; what does has stopped.
constexpr std::chrono::milliseconds kStepLimit{30000};
constexpr std::chrono::milliseconds kBlockLimit{300000};

class HybridExperts;
class PromptExperts;

struct GpuContext {
  ModelConfig config;
  CudaModelOptions options;
  GpuWeightPlan plan;
  ModelPlaces places;
  HostPlaces host;
  ModelWeights weights;
  CUstream_st* stream = nullptr;
  // Both null where all experts are in GPU memory.
  HybridExperts* hybrid = nullptr;
  PromptExperts* prompt = nullptr;

  // m rows of `sequences` sequences, described by `rows`.
  GpuBlock Block(const GpuRows& rows, int64_t m, int64_t sequences) const {
    return {.config = config,
            .weights = weights,
            .plan = plan,
            .places = places.weights,
            .state = places.state,
            .ws = places.ws,
            .rows = rows,
            .m = m,
            .sequences = sequences,
            .stream = stream};
  }
};

// The experts of simulated routing for the block's positions, into ws.forced; block.forced says so. Nothing where the
// routers decide.
Status ApplyRouting(const GpuContext& context, GpuBlock& block);

// ids, positions and slots of m rows, from pinned memory.
Status UploadRows(const GpuContext& context, const GpuRows& from, const GpuRows& to, int64_t m);

}  // namespace qnext::cuda
