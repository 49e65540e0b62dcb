// Plain loads of 16 bytes, four in flight a thread.
#include <cuda_runtime.h>

#include "hw/cuda/cuda_status.h"
#include "hw/cuda/read_probe.h"

namespace qnext::cuda {
namespace {

constexpr int kThreads = 512;
constexpr int kInFlight = 4;

__global__ void Read(const uint4* data, int64_t count, uint32_t* sink) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  uint32_t sum = 0;
  for (int64_t i = blockIdx.x * static_cast<int64_t>(kThreads) + threadIdx.x; i < count; i += step * kInFlight) {
    uint4 words[kInFlight];
#pragma unroll
    for (int k = 0; k < kInFlight; ++k) {
      words[k] = i + k * step < count ? __ldcs(data + i + k * step) : make_uint4(0, 0, 0, 0);
    }
#pragma unroll
    for (int k = 0; k < kInFlight; ++k) sum += words[k].x ^ words[k].y ^ words[k].z ^ words[k].w;
  }
  if (sum == 0x9e3779b9u) *sink = sum;  // keeps the loads
}

}  // namespace

Status LaunchRead(const std::byte* data, int64_t bytes, int blocks, uint32_t* sink, CUstream_st* stream) {
  Read<<<static_cast<unsigned>(blocks), kThreads, 0, stream>>>(reinterpret_cast<const uint4*>(data), bytes / 16, sink);
  return LaunchStatus("read_probe");
}

}  // namespace qnext::cuda
