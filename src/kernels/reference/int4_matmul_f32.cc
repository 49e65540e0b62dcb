#include <algorithm>

#include "kernels/reference/int4_weight.h"
#include "kernels/reference/reference.h"

namespace qnext::reference {

void Int4MatmulF32(const Int4MatmulF32Args& args, Range tiles) {
  const Int4Layout& layout = args.weight.layout;
  const int64_t end = std::min(tiles.end * kInt4TileRows, layout.out);
  for (int64_t o = tiles.begin * kInt4TileRows; o < end; ++o) {
    for (int64_t row = 0; row < args.m; ++row) {
      double sum = 0;
      for (int64_t p = 0; p < layout.in; ++p) {
        const int code = Int4Code(args.weight, o, p) - Int4Zero(args.weight, o, p);
        const double weight = static_cast<double>(Int4Scale(args.weight, o, p)) * code;
        sum += weight * static_cast<double>(args.x[row * args.x_stride + p]);
      }
      args.y[row * args.y_stride + o] = static_cast<float>(sum);
    }
  }
}

}  // namespace qnext::reference
