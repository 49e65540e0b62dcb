#include "hw/cuda/wait.h"

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include "hw/cuda/cuda_status.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace qnext::cuda {
namespace {

using Clock = std::chrono::steady_clock;

// Asking the driver costs a microsecond or two and takes its lock, so it is asked now and then only.
constexpr std::chrono::microseconds kAskDriver{500};
constexpr int kPollsPerLook = 64;

void Pause() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

Status TooLong(std::chrono::milliseconds limit, const char* what) {
  return Internal(
      fmt::format("{}: the GPU has not finished within {} s", what, std::chrono::duration<double>(limit).count()));
}

}  // namespace

Status PollUntil(FunctionRef<bool()> done, CUstream_st* stream, std::chrono::milliseconds limit, const char* what) {
  const Clock::time_point start = Clock::now();
  Clock::time_point ask = start + kAskDriver;
  while (true) {
    for (int i = 0; i < kPollsPerLook; ++i) {
      if (done()) return Status();
      Pause();
    }
    const Clock::time_point now = Clock::now();
    if (now < ask) continue;
    const cudaError_t error = cudaStreamQuery(stream);
    if (error == cudaSuccess) {
      return done() ? Status() : Internal(fmt::format("{}: the GPU has finished without a result", what));
    }
    if (error != cudaErrorNotReady) return ToStatus(error, what);
    if (now - start > limit) return TooLong(limit, what);
    ask = now + kAskDriver;
  }
}

Status Synchronize(CUstream_st* stream, std::chrono::milliseconds limit, const char* what) {
  const Clock::time_point start = Clock::now();
  while (true) {
    const cudaError_t error = cudaStreamQuery(stream);
    if (error != cudaErrorNotReady) return ToStatus(error, what);
    if (Clock::now() - start > limit) return TooLong(limit, what);
    for (int i = 0; i < kPollsPerLook; ++i) Pause();
  }
}

}  // namespace qnext::cuda
