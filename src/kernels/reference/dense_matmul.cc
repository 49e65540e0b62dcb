#include <algorithm>

#include "base/check.h"
#include "kernels/reference/reference.h"

namespace qnext::reference {
namespace {

double WeightAt(const void* weight, DType dtype, int64_t i) {
  switch (dtype) {
    case DType::kF32:
      return static_cast<const float*>(weight)[i];
    case DType::kF16:
      return F16ToFloat(static_cast<const uint16_t*>(weight)[i]);
    case DType::kBF16:
      return BF16ToFloat(static_cast<const uint16_t*>(weight)[i]);
    default:
      QNEXT_CHECK(false, "dense weights are F32, F16 or BF16");
  }
}

}  // namespace

void DenseMatmul(const DenseMatmulArgs& args, Range blocks) {
  const int64_t end = std::min(blocks.end * kDenseBlockRows, args.out);
  for (int64_t o = blocks.begin * kDenseBlockRows; o < end; ++o) {
    for (int64_t row = 0; row < args.m; ++row) {
      double sum = 0;
      for (int64_t i = 0; i < args.in; ++i) {
        sum +=
            WeightAt(args.weight, args.dtype, o * args.in + i) * static_cast<double>(args.x[row * args.x_stride + i]);
      }
      args.y[row * args.y_stride + o] = static_cast<float>(sum);
    }
  }
}

}  // namespace qnext::reference
