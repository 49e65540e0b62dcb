#include <algorithm>

#include "kernels/reference/int4_weight.h"
#include "kernels/reference/reference.h"

namespace qnext::reference {

void Int4MatmulI8(const Int4MatmulI8Args& args, Range tiles) {
  const Int4Layout& layout = args.weight.layout;
  const int64_t blocks = args.x.in_padded / kInt4BlockInputs;
  const int64_t end = std::min(tiles.end * kInt4TileRows, layout.out);
  for (int64_t o = tiles.begin * kInt4TileRows; o < end; ++o) {
    for (int64_t row = 0; row < args.m; ++row) {
      double sum = 0;
      for (int64_t b = 0; b < blocks; ++b) {
        // A block lies in one group, so that scale and zero point are those of its first input.
        const int64_t first = b * kInt4BlockInputs;
        int32_t dot = 0;
        for (int64_t p = first; p < first + kInt4BlockInputs; ++p) {
          dot += Int4Code(args.weight, o, p) * args.x.codes[row * args.x.in_padded + p];
        }
        dot -= Int4Zero(args.weight, o, first) * args.x.sums[row * blocks + b];
        const double scale = static_cast<double>(Int4Scale(args.weight, o, first)) *
                             static_cast<double>(args.x.scales[row * blocks + b]);
        sum += scale * dot;
      }
      args.y[row * args.y_stride + o] = static_cast<float>(sum);
    }
  }
}

}  // namespace qnext::reference
