#include "hw/cuda/buffers.h"

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <cstring>

#include "base/bytes.h"
#include "hw/cuda/cuda_status.h"
#include "hw/cuda/gpu.h"

namespace qnext::cuda {

void DeviceBuffer::Free::operator()(std::byte* data) const { cudaFree(data); }
void PinnedBuffer::Free::operator()(std::byte* data) const { cudaFreeHost(data); }

Result<DeviceBuffer> DeviceBuffer::Allocate(int64_t bytes, std::string_view what) {
  DeviceBuffer buffer;
  if (bytes == 0) return buffer;
  void* data = nullptr;
  const cudaError_t error = cudaMalloc(&data, static_cast<size_t>(bytes));
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    QNEXT_ASSIGN_OR_RETURN(const GpuMemory memory, ReadGpuMemory());
    return ResourceExhausted(fmt::format("GPU memory: {} of {} do not fit into the {} that are free",
                                         FormatBytes(bytes), what, FormatBytes(memory.free_bytes)));
  }
  QNEXT_RETURN_IF_ERROR(ToStatus(error, what));
  buffer.data_.reset(static_cast<std::byte*>(data));
  buffer.bytes_ = bytes;
  return buffer;
}

Result<PinnedBuffer> PinnedBuffer::Allocate(int64_t bytes, std::string_view what) {
  PinnedBuffer buffer;
  if (bytes == 0) return buffer;
  void* data = nullptr;
  const cudaError_t error =
      cudaHostAlloc(&data, static_cast<size_t>(bytes), cudaHostAllocMapped | cudaHostAllocPortable);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    return ResourceExhausted(
        fmt::format("pinned memory: the system does not grant {} of {}", FormatBytes(bytes), what));
  }
  QNEXT_RETURN_IF_ERROR(ToStatus(error, what));
  buffer.data_.reset(static_cast<std::byte*>(data));
  buffer.bytes_ = bytes;
  std::memset(data, 0, static_cast<size_t>(bytes));
  return buffer;
}

Status CopyToGpu(std::byte* to, const std::byte* from, int64_t bytes, CUstream_st* stream) {
  return ToStatus(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyHostToDevice, stream), "a copy");
}

}  // namespace qnext::cuda
