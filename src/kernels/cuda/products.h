// Products y = x · weightᵀ of up to kMaxParts linears in one launch: q, k and v; qkvz and ba. Any number of rows: a
// matrix-vector kernel for m <= kMaxDecodeRows, a matrix-matrix kernel above.
#pragma once

#include "kernels/cuda/launch.h"
#include "kernels/kernels.h"
#include "quant/int4_matrix.h"
#include "quant/int8_matrix.h"
#include "tensor/dtype.h"

namespace qnext::cuda {

constexpr int kMaxParts = 4;

// int4 weights (docs/int4-layout.md), int8 activations with one scale per 32 inputs. Per run of 32 inputs an exact
// integer dot product, scaled and summed in float32: the CPU's int4_matmul_i8 up to the order of the sums.
struct Int4Part {
  Int4Matrix weight;
  Int8Rows x;  // m rows, in_padded == weight's
  float* y;    // [m, out], rows y_stride apart
  int64_t y_stride;
};
struct Int4ProductsArgs {
  Int4Part parts[kMaxParts];
  int count;
  int64_t m;
};
Status LaunchInt4Products(const Int4ProductsArgs& args, Stream stream);

// int8 weights (quant/int8_matrix.h), int8 activations as above.
struct Int8Part {
  Int8Matrix weight;
  Int8Rows x;
  float* y;
  int64_t y_stride;
};
struct Int8ProductsArgs {
  Int8Part parts[kMaxParts];
  int count;
  int64_t m;
};
Status LaunchInt8Products(const Int8ProductsArgs& args, Stream stream);

// Row-major F16, BF16 or F32 weights, float32 activations, float32 sums. Matrix-matrix: activations are rounded to the
// weight's 16-bit type on the way into the matrix units (F32 weights: to TF32-free float32 products).
struct DensePart {
  const void* weight;  // [out, in], 16-byte aligned
  DType dtype;
  const float* x;  // [m, in], rows x_stride apart
  float* y;        // [m, out], rows y_stride apart
  int64_t in, out, x_stride, y_stride;
};
struct DenseProductsArgs {
  DensePart parts[kMaxParts];
  int count;
  int64_t m;
};
Status LaunchDenseProducts(const DenseProductsArgs& args, Stream stream);

}  // namespace qnext::cuda
