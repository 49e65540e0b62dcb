#include <algorithm>
#include <cmath>

#include "kernels/reference/reference.h"

namespace qnext::reference {

void QuantizeRows(const QuantizeRowsArgs& args, Range rows) {
  const int64_t blocks = args.out.in_padded / kInt4BlockInputs;
  for (int64_t r = rows.begin; r < rows.end; ++r) {
    const float* x = args.x + r * args.x_stride;
    for (int64_t b = 0; b < blocks; ++b) {
      float values[kInt4BlockInputs];
      float maximum = 0;
      for (int64_t i = 0; i < kInt4BlockInputs; ++i) {
        const int64_t p = b * kInt4BlockInputs + i;
        const int64_t source = p < args.in && args.permutation != nullptr ? args.permutation[p] : p;
        values[i] = p < args.in ? x[source] : 0.0f;
        maximum = std::max(maximum, std::abs(values[i]));
      }
      const float scale = maximum / 127.0f;
      int32_t sum = 0;
      for (int64_t i = 0; i < kInt4BlockInputs; ++i) {
        const float ratio = scale > 0 ? values[i] / scale : 0.0f;
        const float code = std::clamp(std::nearbyint(ratio), -127.0f, 127.0f);
        args.out.codes[r * args.out.in_padded + b * kInt4BlockInputs + i] = static_cast<int8_t>(code);
        sum += static_cast<int32_t>(code);
      }
      args.out.scales[r * blocks + b] = scale;
      args.out.sums[r * blocks + b] = sum;
    }
  }
}

}  // namespace qnext::reference
