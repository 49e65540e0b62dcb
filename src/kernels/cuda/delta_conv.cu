// The convolution of DeltaNet over many tokens. The ring of past inputs is only read here: blocks of later tokens would
// overwrite what those of the first ones need, so that the recurrence, which runs after all of them, renews it.
#include "base/range.h"
#include "hw/cuda/cuda_status.h"
#include "kernels/cuda/delta_parts.cuh"

namespace qnext::cuda::delta {
namespace {

constexpr int kThreads = 128;  // channels of a block
constexpr int kTokens = 16;    // of a block

__global__ void __launch_bounds__(kThreads) Conv(const DeltaStepArgs args) {
  const int64_t sequence = blockIdx.z, first = static_cast<int64_t>(blockIdx.y) * kTokens;
  const int c = blockIdx.x * kThreads + threadIdx.x, channels = Channels(args);
  if (c >= channels) return;
  const int64_t row = sequence * args.tokens, width = QkvzWidth(args);
  const float* x = args.qkvz + row * width + ColumnOf(args, c);
  const float* history = args.history + args.slots[sequence] * args.history_stride + c;
  const int start = args.positions[row];
  const float4 weight = reinterpret_cast<const float4*>(args.conv_weight)[c];

  // The three inputs before this block's first token.
  float window[3];
#pragma unroll
  for (int i = 0; i < 3; ++i) {
    const int64_t t = first - 3 + i;
    window[i] = t >= 0 ? x[t * width] : history[(start + static_cast<int>(t) + kRing) % kRing * channels];
  }
#pragma unroll 4
  for (int64_t t = first; t < min(first + kTokens, args.tokens); ++t) {
    const float now = x[t * width];
    args.conv[(row + t) * channels + c] = ConvSilu(weight, window[0], window[1], window[2], now);
    window[0] = window[1], window[1] = window[2], window[2] = now;
  }
}

}  // namespace

Status LaunchConv(const DeltaStepArgs& args, Stream stream) {
  const dim3 blocks(static_cast<unsigned>(CeilDiv(args.channels(), kThreads)),
                    static_cast<unsigned>(CeilDiv(args.tokens, kTokens)), static_cast<unsigned>(args.sequences));
  Conv<<<blocks, kThreads, 0, stream>>>(args);
  return LaunchStatus("delta_conv");
}

}  // namespace qnext::cuda::delta
