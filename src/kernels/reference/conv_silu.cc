#include "kernels/reference/reference.h"
#include "kernels/reference/scalar_math.h"

namespace qnext::reference {
namespace {

// Where channel c of (all q | all k | all v) stands in a row of qkvz, K groups of (q S | k S | v r*S | z r*S).
int64_t ColumnOf(const ConvSiluArgs& args, int64_t c) {
  const int64_t size = args.head_dim;
  const int64_t ratio = args.value_heads / args.key_heads;
  const int64_t group_width = (2 + 2 * ratio) * size;
  const int64_t keys = args.key_heads * size;
  if (c < keys) return c / size * group_width + c % size;                               // q
  if (c < 2 * keys) return (c - keys) / size * group_width + size + (c - keys) % size;  // k
  const int64_t v = c - 2 * keys;
  return v / (ratio * size) * group_width + 2 * size + v % (ratio * size);
}

}  // namespace

void ConvSilu(const ConvSiluArgs& args, Range channels) {
  for (int64_t c = channels.begin; c < channels.end; ++c) {
    const int64_t column = ColumnOf(args, c);
    float window[4] = {0, args.history[c], args.history[args.channels() + c], args.history[2 * args.channels() + c]};
    for (int64_t t = 0; t < args.tokens; ++t) {
      for (int i = 0; i < 3; ++i) window[i] = window[i + 1];
      window[3] = args.qkvz[t * args.qkvz_width() + column];
      double sum = 0;
      for (int tap = 0; tap < 4; ++tap) {
        sum += static_cast<double>(args.weight[c * 4 + tap]) * static_cast<double>(window[tap]);
      }
      args.out[t * args.channels() + c] = static_cast<float>(Silu(sum));
    }
    for (int i = 0; i < 3; ++i) args.history[i * args.channels() + c] = window[i + 1];
  }
}

}  // namespace qnext::reference
