// Whether this build holds code that the calling thread's GPU can run.
#pragma once

#include <cuda_runtime_api.h>

namespace qnext::cuda {

cudaError_t AskForCode();

}  // namespace qnext::cuda
