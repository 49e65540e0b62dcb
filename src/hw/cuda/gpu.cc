#include "hw/cuda/gpu.h"

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <array>

#include "hw/cuda/cuda_status.h"
#include "hw/cuda/gpu_code.h"

namespace qnext::cuda {
namespace {

Result<GpuInfo> Describe(int ordinal) {
  cudaDeviceProp properties{};
  QNEXT_RETURN_IF_ERROR(ToStatus(cudaGetDeviceProperties(&properties, ordinal), "cudaGetDeviceProperties"));
  std::array<char, 32> bus{};
  QNEXT_RETURN_IF_ERROR(
      ToStatus(cudaDeviceGetPCIBusId(bus.data(), static_cast<int>(bus.size()), ordinal), "cudaDeviceGetPCIBusId"));
  int kilohertz = 0;
  if (cudaDeviceGetAttribute(&kilohertz, cudaDevAttrClockRate, ordinal) != cudaSuccess) cudaGetLastError();
  return GpuInfo{.ordinal = ordinal,
                 .name = properties.name,
                 .major = properties.major,
                 .minor = properties.minor,
                 .pci_bus_id = bus.data(),
                 .total_bytes = static_cast<int64_t>(properties.totalGlobalMem),
                 .multiprocessors = properties.multiProcessorCount,
                 .l2_bytes = properties.l2CacheSize,
                 .clock_hertz = 1e3 * kilohertz};
}

}  // namespace

GpuProbe ProbeGpus() {
  GpuProbe probe;
  cudaRuntimeGetVersion(&probe.runtime_version);
  if (cudaDriverGetVersion(&probe.driver_version) != cudaSuccess) probe.driver_version = 0;
  if (probe.driver_version == 0) {
    cudaGetLastError();
    return probe;
  }
  int count = 0;
  if (const cudaError_t error = cudaGetDeviceCount(&count); error != cudaSuccess) {
    cudaGetLastError();
    if (error != cudaErrorNoDevice) probe.error = cudaGetErrorString(error);
    return probe;
  }
  for (int i = 0; i < count; ++i) {
    Result<GpuInfo> gpu = Describe(i);
    if (!gpu.ok()) {
      cudaGetLastError();
      probe.error = gpu.status().message();
      return probe;
    }
    probe.gpus.push_back(std::move(gpu).value());
  }
  return probe;
}

Status UseGpu(const GpuInfo& gpu) { return ToStatus(cudaSetDevice(gpu.ordinal), gpu.name); }

Status OpenGpu(const GpuInfo& gpu) {
  QNEXT_RETURN_IF_ERROR(UseGpu(gpu));
  QNEXT_RETURN_IF_ERROR(ToStatus(cudaFree(nullptr), gpu.name));  // creates the context
  const cudaError_t error = AskForCode();
  if (error == cudaErrorNoKernelImageForDevice || error == cudaErrorUnsupportedPtxVersion) {
    cudaGetLastError();
    return Unsupported(fmt::format(
        "{} has compute capability {}.{}, for which this program holds no code (QNEXT_CUDA_ARCHITECTURES when built)",
        gpu.name, gpu.major, gpu.minor));
  }
  return ToStatus(error, gpu.name);
}

Result<GpuMemory> ReadGpuMemory() {
  size_t free = 0, total = 0;
  QNEXT_RETURN_IF_ERROR(ToStatus(cudaMemGetInfo(&free, &total), "cudaMemGetInfo"));
  return GpuMemory{.free_bytes = static_cast<int64_t>(free), .total_bytes = static_cast<int64_t>(total)};
}

}  // namespace qnext::cuda
