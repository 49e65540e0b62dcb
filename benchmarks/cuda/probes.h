// Kernels of the workbench itself.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "base/status.h"
#include "kernels/cuda/launch.h"

namespace qnext::workbench {

// Reads `bytes` (a multiple of 16) once, by plain 16-byte loads of all threads that the device holds at once.
Status LaunchRead(const std::byte* data, int64_t bytes, uint32_t* sink, cuda::Stream stream);
// How the read kernel was compiled, which stands for the whole program.
cudaError_t ReadKernelAttributes(cudaFuncAttributes* attributes);
Status LaunchNothing(cuda::Stream stream);
Status LaunchFillWeights(std::byte* data, int64_t bytes, cuda::Stream stream);
Status LaunchFillFloats(std::byte* data, int64_t bytes, cuda::Stream stream);

}  // namespace qnext::workbench
