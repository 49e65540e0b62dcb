#include <cuda_runtime.h>

#include "hw/cuda/cuda_status.h"
#include "probes.h"

namespace qnext::workbench {
namespace {

constexpr int kThreads = 512;
constexpr int kLoads = 8;  // 16-byte loads that a thread has in flight

__global__ void __launch_bounds__(kThreads) Read(const uint4* data, int64_t vectors, uint32_t* sink) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  uint32_t seen = 0;
  int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  for (; i + (kLoads - 1) * step < vectors; i += kLoads * step) {
    uint4 v[kLoads];
#pragma unroll
    for (int k = 0; k < kLoads; ++k) v[k] = __ldcs(data + i + k * step);
#pragma unroll
    for (int k = 0; k < kLoads; ++k) seen |= v[k].x ^ v[k].y ^ v[k].z ^ v[k].w;
  }
  for (; i < vectors; i += step) {
    const uint4 v = __ldcs(data + i);
    seen |= v.x ^ v.y ^ v.z ^ v.w;
  }
  if (seen == 0xffffffffu) *sink = seen;  // so that the loads are not removed
}

__global__ void Nothing() {}

// splitmix64: any index gives its bits without those before it.
__device__ uint64_t Mix(uint64_t i) {
  uint64_t z = (i + 1) * 0x9e3779b97f4a7c15ull;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

__global__ void FillWeights(uint64_t* data, int64_t words) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < words; i += step) {
    data[i] = (Mix(static_cast<uint64_t>(i)) & 0x83ff83ff83ff83ffull) | 0x2c002c002c002c00ull;
  }
}

__global__ void FillFloats(float* data, int64_t n) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += step) {
    data[i] = static_cast<float>(static_cast<int32_t>(Mix(static_cast<uint64_t>(i)) >> 40) - (1 << 23)) * 0x1p-23f;
  }
}

}  // namespace

Status LaunchRead(const std::byte* data, int64_t bytes, uint32_t* sink, cuda::Stream stream) {
  int device = 0, processors = 0, blocks = 0;
  QNEXT_RETURN_IF_ERROR(cuda::ToStatus(cudaGetDevice(&device), "cudaGetDevice"));
  QNEXT_RETURN_IF_ERROR(cuda::ToStatus(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device),
                                       "cudaDeviceGetAttribute"));
  QNEXT_RETURN_IF_ERROR(cuda::ToStatus(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, Read, kThreads, 0),
                                       "cudaOccupancyMaxActiveBlocksPerMultiprocessor"));
  Read<<<static_cast<unsigned>(processors * blocks), kThreads, 0, stream>>>(reinterpret_cast<const uint4*>(data),
                                                                            bytes / 16, sink);
  return cuda::LaunchStatus("read");
}

cudaError_t ReadKernelAttributes(cudaFuncAttributes* attributes) { return cudaFuncGetAttributes(attributes, Read); }

Status LaunchNothing(cuda::Stream stream) {
  Nothing<<<1, 32, 0, stream>>>();
  return cuda::LaunchStatus("nothing");
}

Status LaunchFillWeights(std::byte* data, int64_t bytes, cuda::Stream stream) {
  FillWeights<<<2048, 256, 0, stream>>>(reinterpret_cast<uint64_t*>(data), bytes / 8);
  return cuda::LaunchStatus("fill_weights");
}

Status LaunchFillFloats(std::byte* data, int64_t bytes, cuda::Stream stream) {
  FillFloats<<<2048, 256, 0, stream>>>(reinterpret_cast<float*>(data), bytes / 4);
  return cuda::LaunchStatus("fill_floats");
}

}  // namespace qnext::workbench
