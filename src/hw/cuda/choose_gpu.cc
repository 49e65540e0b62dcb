// What is wrong, in words that say what to do about it.
#include <fmt/format.h>

#include "hw/cuda/gpu.h"

namespace qnext::cuda {
namespace {

constexpr int kLeastMajor = 8;

}  // namespace

std::string CudaVersionName(int version) { return fmt::format("{}.{}", version / 1000, version % 1000 / 10); }

Result<GpuInfo> ChooseGpu(const GpuProbe& probe) {
  if (probe.driver_version == 0) return Unavailable("no NVIDIA driver is loaded");
  // Within one major version, older drivers run newer programs.
  if (probe.driver_version / 1000 < probe.runtime_version / 1000) {
    return Unsupported(fmt::format("the NVIDIA driver knows CUDA {}, this program needs {}.0: a newer driver is needed",
                                   CudaVersionName(probe.driver_version), probe.runtime_version / 1000));
  }
  if (!probe.error.empty()) return Unavailable(fmt::format("the NVIDIA driver says: {}", probe.error));
  if (probe.gpus.empty()) return Unavailable("the NVIDIA driver finds no GPU");
  for (const GpuInfo& gpu : probe.gpus) {
    if (gpu.major >= kLeastMajor) return gpu;
  }
  const GpuInfo& first = probe.gpus.front();
  return Unsupported(fmt::format("{} has compute capability {}.{}, {}.0 or newer is needed", first.name, first.major,
                                 first.minor, kLeastMajor));
}

}  // namespace qnext::cuda
