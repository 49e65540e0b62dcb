// How launchers start kernels and learn what the device holds. Only .cu files of kernels/cuda include this.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "base/status.h"
#include "hw/cuda/cuda_status.h"
#include "kernels/cuda/launch.h"

namespace qnext::cuda {

// Consumer cards give a block this much; without asking, a kernel gets kDefaultSharedBytes.
constexpr int64_t kMostSharedBytes = 99 * 1024;
constexpr int64_t kDefaultSharedBytes = 48 * 1024;

struct LaunchShape {
  int64_t blocks_x = 1, blocks_y = 1;
  int64_t threads_x = 1, threads_y = 1, threads_z = 1;
  int64_t shared_bytes = 0;
};

// Lets `kernel` take more shared memory than it gets unasked. Launching and asking for occupancy need it.
template <typename... Params>
Status AllowShared(const char* name, void (*kernel)(Params...), int64_t shared_bytes) {
  if (shared_bytes <= kDefaultSharedBytes) return Status();
  return ToStatus(
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes)), name);
}

template <typename... Params, typename... Args>
Status LaunchKernel(const char* name, void (*kernel)(Params...), const LaunchShape& shape, Stream stream,
                    const Args&... args) {
  QNEXT_RETURN_IF_ERROR(AllowShared(name, kernel, shape.shared_bytes));
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(static_cast<unsigned>(shape.blocks_x), static_cast<unsigned>(shape.blocks_y));
  config.blockDim = dim3(static_cast<unsigned>(shape.threads_x), static_cast<unsigned>(shape.threads_y),
                         static_cast<unsigned>(shape.threads_z));
  config.dynamicSmemBytes = static_cast<size_t>(shape.shared_bytes);
  config.stream = stream;
  return ToStatus(cudaLaunchKernelEx(&config, kernel, args...), name);
}

inline Result<int64_t> ProcessorCount() {
  int device = 0, processors = 0;
  QNEXT_RETURN_IF_ERROR(ToStatus(cudaGetDevice(&device), "cudaGetDevice"));
  QNEXT_RETURN_IF_ERROR(
      ToStatus(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device), "cudaDeviceGetAttribute"));
  return static_cast<int64_t>(processors);
}

// How many blocks of `kernel` the device holds at once.
template <typename... Params>
Result<int64_t> ResidentBlocks(const char* name, void (*kernel)(Params...), int64_t threads, int64_t shared_bytes) {
  QNEXT_RETURN_IF_ERROR(AllowShared(name, kernel, shared_bytes));
  QNEXT_ASSIGN_OR_RETURN(const int64_t processors, ProcessorCount());
  int blocks = 0;
  QNEXT_RETURN_IF_ERROR(ToStatus(cudaOccupancyMaxActiveBlocksPerMultiprocessor(
                                     &blocks, kernel, static_cast<int>(threads), static_cast<size_t>(shared_bytes)),
                                 name));
  if (blocks == 0) return Internal(std::string(name) + ": a block does not fit the device");
  return processors * blocks;
}

inline bool AlignedTo(const void* p, uintptr_t bytes) { return reinterpret_cast<uintptr_t>(p) % bytes == 0; }

}  // namespace qnext::cuda
