// The launches of a hybrid decode step: slot map, fetches, and the wait for the CPU.
#include <algorithm>

#include "base/check.h"
#include "base/range.h"
#include "kernels/cuda/clock.cuh"
#include "kernels/cuda/hybrid.h"
#include "kernels/cuda/kernel_launch.h"

namespace qnext::cuda {
namespace {

constexpr int kBeginThreads = 256;
constexpr int kFetchThreads = 256;
constexpr int kAwaitThreads = 512;
constexpr int kAhead = 4;  // loads of a thread that are under way at once

__global__ void __launch_bounds__(kBeginThreads) BeginStep(BeginHybridStepArgs args) {
  const int thread = static_cast<int>(threadIdx.x);
  const int count = *static_cast<const volatile int32_t*>(args.change_count);
  for (int i = thread; i < count; i += kBeginThreads) {
    const volatile SlotChange* change = args.changes + i;
    args.device_slot_map[change->index] = change->slot;
  }
  for (int64_t i = thread; i < args.layers * args.max_fetch; i += kBeginThreads) {
    args.device_fetch_slots[i] = static_cast<const volatile int32_t*>(args.fetch_slots)[i];
  }
  for (int64_t i = thread; i < args.layers; i += kBeginThreads) {
    args.device_fetch_quotas[i] = static_cast<const volatile int32_t*>(args.fetch_quotas)[i];
  }
}

__global__ void __launch_bounds__(kBeginThreads) CopyWords(const int32_t* from, int32_t* to, int64_t words) {
  const int64_t threads = static_cast<int64_t>(gridDim.x) * kBeginThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kBeginThreads + threadIdx.x; i < words; i += threads) {
    to[i] = static_cast<const volatile int32_t*>(from)[i];
  }
}

// Host memory that the CPU does not write while the kernel runs, read once: past the caches.
__device__ int4 LoadOnce(const int4* from) {
  int4 v;
  asm volatile("ld.global.nc.L1::no_allocate.v4.s32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(from));
  return v;
}

__global__ void __launch_bounds__(kFetchThreads) FetchExperts(FetchExpertsArgs args) {
  const int count = *static_cast<const volatile int32_t*>(args.count);
  if (args.mail != nullptr && blockIdx.x == 0 && threadIdx.x == 0) args.mail->fetch_ns = GlobalNanoseconds();
  const int64_t words = args.bytes / 16;
  const int64_t threads = static_cast<int64_t>(gridDim.x) * kFetchThreads;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kFetchThreads + threadIdx.x;
  for (int i = 0; i < count; ++i) {
    const int4* from = reinterpret_cast<const int4*>(
        args.source + static_cast<const volatile int32_t*>(args.experts)[i] * args.stride);
    int4* to = reinterpret_cast<int4*>(args.target + static_cast<const volatile int32_t*>(args.slots)[i] * args.stride);
    int64_t at = first;
    for (; at + (kAhead - 1) * threads < words; at += kAhead * threads) {
      int4 v[kAhead];
#pragma unroll
      for (int k = 0; k < kAhead; ++k) v[k] = LoadOnce(from + at + k * threads);
#pragma unroll
      for (int k = 0; k < kAhead; ++k) to[at + k * threads] = v[k];
    }
    for (; at < words; at += threads) to[at] = LoadOnce(from + at);
  }
}

__global__ void __launch_bounds__(kAwaitThreads) AwaitCpu(AwaitCpuArgs args) {
  __shared__ int have_sum;
  const int thread = static_cast<int>(threadIdx.x);
  if (thread == 0) {
    const uint64_t start = GlobalNanoseconds();
    args.mail->served_ns = start;
    have_sum = 0;
    if (*args.cpu_count > 0) {
      const uint32_t step = *args.step + 1;
      const volatile uint32_t* done = args.done;
      const volatile uint32_t* abort = args.abort;
      unsigned polls = 0;
      while (*done != step) {
        if ((++polls & 63u) != 0) continue;
        if (*abort != 0) break;
        if (GlobalNanoseconds() - start > args.limit_ns) {
          *static_cast<volatile uint32_t*>(args.abort) = 1;
          break;
        }
      }
      have_sum = *done == step ? 1 : 0;
      __threadfence_system();  // the sum is read after the word that says it is there
    }
  }
  __syncthreads();
  if (have_sum != 0) {
    const int64_t vectors = args.m * args.dim / 4;
    for (int64_t i = thread; i < vectors; i += kAwaitThreads) {
      float4 add;
      asm volatile("ld.relaxed.sys.global.v4.f32 {%0, %1, %2, %3}, [%4];"
                   : "=f"(add.x), "=f"(add.y), "=f"(add.z), "=f"(add.w)
                   : "l"(reinterpret_cast<const float4*>(args.sum) + i)
                   : "memory");
      float4& out = reinterpret_cast<float4*>(args.out)[i];
      out = make_float4(out.x + add.x, out.y + add.y, out.z + add.z, out.w + add.w);
    }
  }
  if (thread == 0) args.mail->summed_ns = GlobalNanoseconds();
}

}  // namespace

Status LaunchBeginHybridStep(const BeginHybridStepArgs& args, Stream stream) {
  return LaunchKernel("begin_hybrid_step", BeginStep, {.threads_x = kBeginThreads}, stream, args);
}

Status LaunchCopyWords(const int32_t* from, int32_t* to, int64_t words, Stream stream) {
  if (words < 0) return InvalidArgument("copy_words: fewer than none");
  if (words == 0) return Status();
  constexpr int64_t kMostBlocks = 32;
  const int64_t blocks = std::min(kMostBlocks, CeilDiv(words, int64_t{kBeginThreads}));
  return LaunchKernel("copy_words", CopyWords, {.blocks_x = blocks, .threads_x = kBeginThreads}, stream, from, to,
                      words);
}

Status LaunchFetchExperts(const FetchExpertsArgs& args, Stream stream) {
  if (args.stride % 16 != 0 || args.bytes % 16 != 0 || !AlignedTo(args.source, 16) || !AlignedTo(args.target, 16)) {
    return InvalidArgument("fetch_experts: experts are not 16-byte aligned");
  }
  if (args.blocks < 1) return InvalidArgument("fetch_experts: no blocks");
  return LaunchKernel("fetch_experts", FetchExperts, {.blocks_x = args.blocks, .threads_x = kFetchThreads}, stream,
                      args);
}

Status LaunchAwaitCpu(const AwaitCpuArgs& args, Stream stream) {
  if (args.dim % 4 != 0 || !AlignedTo(args.sum, 16) || !AlignedTo(args.out, 16)) {
    return InvalidArgument("await_cpu: rows are not 16-byte aligned");
  }
  return LaunchKernel("await_cpu", AwaitCpu, {.threads_x = kAwaitThreads}, stream, args);
}

}  // namespace qnext::cuda
