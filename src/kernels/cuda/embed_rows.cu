// Rows of the embedding table as float32.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "hw/cuda/cuda_status.h"
#include "kernels/cuda/kernel_launch.h"
#include "kernels/cuda/row_ops.h"

namespace qnext::cuda {
namespace {

__global__ void EmbedRows(EmbedRowsArgs args) {
  const int64_t row = blockIdx.x, from = args.ids[row] * args.dim;
  for (int64_t i = threadIdx.x; i < args.dim; i += blockDim.x) {
    float value;
    if (args.dtype == DType::kF32) {
      value = static_cast<const float*>(args.table)[from + i];
    } else if (args.dtype == DType::kBF16) {
      value = __bfloat162float(static_cast<const __nv_bfloat16*>(args.table)[from + i]);
    } else {
      value = __half2float(static_cast<const __half*>(args.table)[from + i]);
    }
    args.hidden[row * args.dim + i] = value;
  }
}

}  // namespace

Status LaunchEmbedRows(const EmbedRowsArgs& args, Stream stream) {
  if (!IsFloat16Or32(args.dtype)) return Internal("embed_rows: the table is F32, F16 or BF16");
  return LaunchKernel("embed_rows", EmbedRows, {.blocks_x = args.m, .threads_x = 256}, stream, args);
}

}  // namespace qnext::cuda
