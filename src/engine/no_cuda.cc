// A build without the CUDA engine.
#include "engine/device.h"
#include "engine/gpu_probe.h"

namespace qnext {
namespace {

Status NoCuda() { return Unsupported("this build has no CUDA engine"); }

}  // namespace

bool HasCudaEngine() { return false; }

Result<std::string> DescribeGpu() { return NoCuda(); }

Result<DeviceMemory> ReadDeviceMemory() { return NoCuda(); }

Result<LoadedLanguageModel> LoadCudaLanguageModel(const ModelLoadOptions& /*options*/, const ModelConfig& /*config*/,
                                                  const SequenceLimits& /*limits*/,
                                                  const LoadProgressCallback& /*progress*/) {
  return NoCuda();
}

Result<GpuMeasurements> MeasureGpu(const ProbeMemory& /*memory*/, const GpuProbeOptions& /*options*/) {
  return NoCuda();
}

}  // namespace qnext
