// Where a model runs: the choice between CPU and GPU, and the GPU's side of it. In a build without the CUDA engine all
// of this exists and says so.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "config/model_config.h"
#include "engine/language_model.h"
#include "engine/model_loader.h"

namespace qnext {

// Whether this build has the CUDA engine.
bool HasCudaEngine();

// The GPU that models run on, "NVIDIA H100 80GB HBM3, compute capability 9.0, at 0000:01:00.0"; or why there is none.
Result<std::string> DescribeGpu();

// Of the GPU that models run on, as the driver counts it: every process, this one's context included.
struct DeviceMemory {
  int64_t used = 0, total = 0;
};
Result<DeviceMemory> ReadDeviceMemory();

// The model on the GPU with one sequence, everything resident. `options.device` is not looked at.
Result<LoadedLanguageModel> LoadCudaLanguageModel(const ModelLoadOptions& options, const ModelConfig& config,
                                                  const SequenceLimits& limits, const LoadProgressCallback& progress);

}  // namespace qnext
