#include "kernels/reference/reference.h"

namespace qnext::reference {

void GatherRows(const GatherRowsArgs& args, Range rows) {
  for (int64_t r = rows.begin; r < rows.end; ++r) {
    const float* x = args.x + r * args.x_stride;
    float* out = args.out + r * args.in_padded;
    for (int64_t p = 0; p < args.in_padded; ++p) {
      const int64_t source = p < args.in && args.permutation != nullptr ? args.permutation[p] : p;
      out[p] = p < args.in ? x[source] : 0.0f;
    }
  }
}

}  // namespace qnext::reference
