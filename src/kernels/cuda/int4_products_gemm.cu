// The matrix-matrix kernels of LaunchInt4Products.
#include "kernels/cuda/quantized_gemm.cuh"

namespace qnext::cuda {

Status LaunchInt4Gemm(const QuantizedGemvArgs& args, int count, bool one_group, bool zeros, Stream stream) {
  constexpr char kName[] = "int4_products";
  if (one_group) {
    return zeros ? LaunchQuantizedGemm<Int4Format, true, true>(kName, args, count, stream)
                 : LaunchQuantizedGemm<Int4Format, true, false>(kName, args, count, stream);
  }
  return zeros ? LaunchQuantizedGemm<Int4Format, false, true>(kName, args, count, stream)
               : LaunchQuantizedGemm<Int4Format, false, false>(kName, args, count, stream);
}

}  // namespace qnext::cuda
