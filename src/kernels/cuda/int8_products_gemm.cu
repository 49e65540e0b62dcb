// The matrix-matrix kernel of LaunchInt8Products.
#include "kernels/cuda/quantized_gemm.cuh"

namespace qnext::cuda {

Status LaunchInt8Gemm(const QuantizedGemvArgs& args, int count, Stream stream) {
  return LaunchQuantizedGemm<Int8Format, true, false>("int8_products", args, count, stream);
}

}  // namespace qnext::cuda
