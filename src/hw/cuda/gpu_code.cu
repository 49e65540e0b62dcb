#include "hw/cuda/gpu_code.h"

namespace qnext::cuda {
namespace {

__global__ void Nothing() {}

}  // namespace

cudaError_t AskForCode() {
  cudaFuncAttributes attributes{};
  return cudaFuncGetAttributes(&attributes, Nothing);
}

}  // namespace qnext::cuda
