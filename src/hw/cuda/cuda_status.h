// CUDA's error codes as Status.
#pragma once

#include <cuda_runtime_api.h>

#include <string_view>

#include "base/status.h"

namespace qnext::cuda {

// OK, or "<what>: <CUDA's words> (<its name>)": kResourceExhausted for memory, kUnavailable for no device or driver,
// kInternal for the rest.
Status ToStatus(cudaError_t error, std::string_view what);

// What the last launch said; clears it where it can be cleared.
inline Status LaunchStatus(std::string_view kernel) { return ToStatus(cudaGetLastError(), kernel); }

}  // namespace qnext::cuda
