#include "hw/cuda/read_probe.h"

#include <cuda_runtime_api.h>

#include "hw/cuda/buffers.h"
#include "hw/cuda/cuda_status.h"
#include "hw/cuda/handles.h"
#include "hw/cuda/timer.h"

namespace qnext::cuda {

Result<double> MeasureReadRate(const std::byte* data, int64_t bytes, CUstream_st* stream) {
  constexpr int kRepeats = 9, kBlocksPerProcessor = 4;
  int device = 0, processors = 0;
  QNEXT_RETURN_IF_ERROR(ToStatus(cudaGetDevice(&device), "cudaGetDevice"));
  QNEXT_RETURN_IF_ERROR(
      ToStatus(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device), "cudaDeviceGetAttribute"));
  QNEXT_ASSIGN_OR_RETURN(const DeviceBuffer sink, DeviceBuffer::Allocate(256, "a probe"));
  QNEXT_ASSIGN_OR_RETURN(const std::vector<double> microseconds, TimeRuns(stream, kRepeats, [&] {
                           return LaunchRead(data, bytes, processors * kBlocksPerProcessor,
                                             reinterpret_cast<uint32_t*>(sink.data()), stream);
                         }));
  return static_cast<double>(bytes / 16 * 16) / (Median(microseconds) * 1e-6);
}

Result<double> ProbeReadRate(const GpuInfo& gpu) {
  constexpr int64_t kBytes = int64_t{512} << 20;  // several times the largest L2 cache
  QNEXT_RETURN_IF_ERROR(OpenGpu(gpu));
  QNEXT_ASSIGN_OR_RETURN(const OwnedStream stream, MakeStream());
  QNEXT_ASSIGN_OR_RETURN(const DeviceBuffer data, DeviceBuffer::Allocate(kBytes, "measuring the GPU's memory"));
  return MeasureReadRate(data.data(), kBytes, stream.get());
}

}  // namespace qnext::cuda
