#include <algorithm>

#include "kernels/reference/reference.h"

namespace qnext::reference {

void Int8Matmul(const Int8MatmulArgs& args, Range tiles) {
  const Int8Layout& layout = args.weight.layout;
  const int64_t runs = args.x.in_padded / kInt4BlockInputs;
  const int64_t end = std::min(tiles.end * kInt4TileRows, layout.out);
  for (int64_t o = tiles.begin * kInt4TileRows; o < end; ++o) {
    const int64_t r = o % kInt4TileRows;
    const int8_t* codes = args.weight.codes(o / kInt4TileRows);
    const float* scales = args.weight.scales(o / kInt4TileRows);
    for (int64_t row = 0; row < args.m; ++row) {
      double sum = 0;
      for (int64_t run = 0; run < runs; ++run) {
        // A run lies in one group, so that its scale is that of its first input.
        const int64_t first = run * kInt4BlockInputs;
        int32_t dot = 0;
        for (int64_t i = first; i < first + kInt4BlockInputs; ++i) {
          dot += codes[(i / 4 * kInt4TileRows + r) * 4 + i % 4] * args.x.codes[row * args.x.in_padded + i];
        }
        const double scale = static_cast<double>(scales[first / kInt8GroupInputs * kInt4TileRows + r]) *
                             static_cast<double>(args.x.scales[row * runs + run]);
        sum += scale * dot;
      }
      args.y[row * args.y_stride + o] = static_cast<float>(sum);
    }
  }
}

}  // namespace qnext::reference
