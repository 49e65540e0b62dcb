// The short causal convolution in front of DeltaNet. Part of float_ops-inl.h.

namespace qnext::QNEXT_FLOAT_OPS_ISA {
namespace {

constexpr int64_t kConvTaps = 4;
constexpr int64_t kConvBlock = 256;  // channels at a time: four rows of taps and four of inputs stay in the L1 cache

// Channels that are neighbours in qkvz too.
struct ConvRun {
  int64_t column;  // of the first channel in a row of qkvz
  int64_t length;  // channels from there on
};

// Where channel c of (all q | all k | all v) stands in the rows of qkvz.
QNEXT_INLINE ConvRun ConvRunAt(const ConvSiluArgs& args, int64_t c) {
  const int64_t size = args.head_dim;
  const int64_t values = args.value_heads / args.key_heads * size;  // v channels of one key head
  const int64_t group = 2 * size + 2 * values;
  const int64_t keys = args.key_heads * size;
  if (c < keys) return {c / size * group + c % size, size - c % size};
  c -= keys;
  if (c < keys) return {c / size * group + size + c % size, size - c % size};
  c -= keys;
  return {c / values * group + 2 * size + c % values, values - c % values};
}

// `count` <= kConvBlock neighbouring channels from c on, all tokens.
void ConvSiluBlock(const ConvSiluArgs& args, int64_t c, int64_t column, int64_t count, int64_t channels,
                   int64_t width) {
  float taps[kConvTaps][kConvBlock];
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t tap = 0; tap < kConvTaps; ++tap) taps[tap][i] = args.weight[(c + i) * kConvTaps + tap];
  }
  // The inputs at time t; negative times are the history.
  const auto input = [&](int64_t t) -> const float* {
    return t >= 0 ? args.qkvz + t * width + column : args.history + (t + 3) * channels + c;
  };
  for (int64_t t = 0; t < args.tokens; ++t) {
    const float* x[kConvTaps] = {input(t - 3), input(t - 2), input(t - 1), input(t)};
    float* out = args.out + t * channels + c;
    ForVectors(count, [&](int64_t i, int64_t lanes) {
      Floats sum = LoadFirst(x[0] + i, lanes) * LoadFirst(taps[0] + i, lanes);
      sum = Fma(LoadFirst(x[1] + i, lanes), LoadFirst(taps[1] + i, lanes), sum);
      sum = Fma(LoadFirst(x[2] + i, lanes), LoadFirst(taps[2] + i, lanes), sum);
      sum = Fma(LoadFirst(x[3] + i, lanes), LoadFirst(taps[3] + i, lanes), sum);
      StoreFirst(out + i, Silu(sum), lanes);
    });
  }
  for (int64_t k = 0; k < 3; ++k) {  // oldest first, so that a source is read before it is replaced
    const float* source = input(args.tokens - 3 + k);
    float* history = args.history + k * channels + c;
    ForVectors(count, [&](int64_t i, int64_t lanes) { StoreFirst(history + i, LoadFirst(source + i, lanes), lanes); });
  }
}

void ConvSilu(const ConvSiluArgs& args, Range range) {
  const int64_t channels = (2 * args.key_heads + args.value_heads) * args.head_dim;
  const int64_t width = channels + args.value_heads * args.head_dim;
  int64_t c = range.begin;
  while (c < range.end) {
    const ConvRun run = ConvRunAt(args, c);
    const int64_t count = Min(Min(run.length, kConvBlock), range.end - c);
    ConvSiluBlock(args, c, run.column, count, channels, width);
    c += count;
  }
}

}  // namespace
}  // namespace qnext::QNEXT_FLOAT_OPS_ISA
