// One handshake with the CPU: what a layer of a hybrid decode step costs before any expert is computed.
#include <cuda_runtime.h>

#include "hw/cuda/cuda_status.h"
#include "hw/cuda/link_probe.h"

namespace qnext::cuda {
namespace {

constexpr int kThreads = kHandshakeFloats / 4;
constexpr uint64_t kLimitNs = 1000000000;

__device__ uint64_t Nanoseconds() {
  uint64_t ns;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(ns));
  return ns;
}

__global__ void __launch_bounds__(kThreads) Handshake(HandshakeArgs args) {
  const int thread = static_cast<int>(threadIdx.x);
  const uint32_t number = *args.round * kHandshakesOfGraph + args.index + 1;
  reinterpret_cast<float4*>(args.to_cpu)[thread] = reinterpret_cast<const float4*>(args.device)[thread];
  __threadfence_system();
  __syncthreads();
  if (thread == 0) {
    *static_cast<volatile uint32_t*>(args.posted) = number;
    const uint64_t start = Nanoseconds();
    unsigned polls = 0;
    while (*static_cast<const volatile uint32_t*>(args.done) != number) {
      if ((++polls & 63u) != 0) continue;
      if (*static_cast<const volatile uint32_t*>(args.abort) != 0) break;
      if (Nanoseconds() - start > kLimitNs) *static_cast<volatile uint32_t*>(args.abort) = 1;
    }
    __threadfence_system();
    if (args.index == kHandshakesOfGraph - 1) ++*args.round;
  }
  __syncthreads();
  float4 sum;
  asm volatile("ld.relaxed.sys.global.v4.f32 {%0, %1, %2, %3}, [%4];"
               : "=f"(sum.x), "=f"(sum.y), "=f"(sum.z), "=f"(sum.w)
               : "l"(reinterpret_cast<const float4*>(args.from_cpu) + thread)
               : "memory");
  reinterpret_cast<float4*>(args.device)[thread] = sum;
}

}  // namespace

Status LaunchHandshake(const HandshakeArgs& args, CUstream_st* stream) {
  Handshake<<<1, kThreads, 0, stream>>>(args);
  return LaunchStatus("handshake");
}

}  // namespace qnext::cuda
