// The gated delta rule. A block keeps 32 columns of one value head's state M in registers, read once and written once:
// thread (group, quad) has columns 4*quad .. 4*quad+3 of rows group, group+32, ... One token is one pass over them,
// with decay d, normalised k and q, and what both rows of sums need gathered at once:
//
//   seen = Mᵀk, asked = Mᵀq, overlap = k·q;  u = beta (v - d seen);  M <- d M + k ⊗ u;  o = d asked + overlap u
//
// Decode (one token of each sequence) computes the convolution itself, each block that of its key head and its own 32
// values: eight blocks repeat that of a key head, which is a sixth of the bytes of their states, from L2. It reads ring
// rows of the last three positions and writes that of the present one, so that no block reads what another overwrites.
// Prefill finds q, k and v in args.conv, and afterwards renews the ring.
#include "hw/cuda/cuda_status.h"
#include "kernels/cuda/delta_parts.cuh"

namespace qnext::cuda {
namespace delta {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = kWarps * 32;
constexpr int kColumns = 32;
constexpr int kQuads = kColumns / 4;
constexpr int kGroups = kThreads / kQuads;  // rows of M that a warp-wide step of all warps covers
constexpr unsigned kAllLanes = 0xffffffffu;
static_assert(kGroups == 32);

enum class Phase { kDecode, kPrefill };

__device__ inline float WarpSum(float x) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) x = __fadd_rn(x, __shfl_xor_sync(kAllLanes, x, step));
  return x;
}
// Over the four groups of a warp.
__device__ inline float GroupSum(float x) {
  x = __fadd_rn(x, __shfl_xor_sync(kAllLanes, x, 8));
  return __fadd_rn(x, __shfl_xor_sync(kAllLanes, x, 16));
}
__device__ inline float4 GroupSum(const float4& x) {
  return make_float4(GroupSum(x.x), GroupSum(x.y), GroupSum(x.z), GroupSum(x.w));
}
// sum + a x, and a x + b y.
__device__ inline float4 MulAdd(float a, const float4& x, const float4& sum) {
  return make_float4(__fmaf_rn(a, x.x, sum.x), __fmaf_rn(a, x.y, sum.y), __fmaf_rn(a, x.z, sum.z),
                     __fmaf_rn(a, x.w, sum.w));
}
__device__ inline float4 Mix(float a, const float4& x, float b, const float4& y) {
  return make_float4(__fmaf_rn(a, x.x, __fmul_rn(b, y.x)), __fmaf_rn(a, x.y, __fmul_rn(b, y.y)),
                     __fmaf_rn(a, x.z, __fmul_rn(b, y.z)), __fmaf_rn(a, x.w, __fmul_rn(b, y.w)));
}
__device__ inline float4 Add(const float4& x, const float4& y) {
  return make_float4(__fadd_rn(x.x, y.x), __fadd_rn(x.y, y.y), __fadd_rn(x.z, y.z), __fadd_rn(x.w, y.w));
}

// A channel of the convolution: where its inputs are, and its ring.
struct Channel {
  const float* inputs;  // of the sequence's first token; rows QkvzWidth apart
  float* ring;          // row of position p: p % kRing * Channels
  float4 weight;

  __device__ Channel(const DeltaStepArgs& args, int64_t sequence, int c)
      : inputs(args.qkvz + sequence * args.tokens * QkvzWidth(args) + ColumnOf(args, c)),
        ring(args.history + args.slots[sequence] * args.history_stride + c),
        weight(reinterpret_cast<const float4*>(args.conv_weight)[c]) {}
};

template <int kRows, Phase kPhase>
__global__ void __launch_bounds__(kThreads) DeltaStep(const DeltaStepArgs args) {
  constexpr int kSize = 32 * kRows;     // S
  __shared__ float keyed[2 * kSize];    // q, then k, before they are normalised
  __shared__ float squares[2 * kRows];  // sums of squares of 32 of them
  __shared__ __align__(16) float value[kColumns];
  __shared__ float2 gates;  // decay, beta
  __shared__ float4 seen_parts[kWarps][kQuads], asked_parts[kWarps][kQuads];
  __shared__ float overlap_parts[kWarps];

  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, quad = threadIdx.x % kQuads, group = threadIdx.x / kQuads;
  const int head = blockIdx.y, block = blockIdx.x;
  const int64_t sequence = blockIdx.z;
  const int ratio = static_cast<int>(args.value_heads / args.key_heads), key_head = head / ratio;
  const int keys = static_cast<int>(args.key_heads) * kSize, channels = Channels(args);
  const int64_t first_row = sequence * args.tokens;

  float* state = args.state + args.slots[sequence] * args.state_stride + static_cast<int64_t>(head) * kSize * kSize +
                 block * kColumns + quad * 4;
  float4 m[kRows];
#pragma unroll
  for (int r = 0; r < kRows; ++r) m[r] = *reinterpret_cast<const float4*>(state + (group + r * kGroups) * kSize);

  // Thread i < 2S brings element i of (q | k); warp 0 brings the block's values as well.
  const bool has_key = threadIdx.x < 2 * kSize, has_value = warp == 0;
  const int key_channel = (threadIdx.x < kSize ? 0 : keys) + key_head * kSize + static_cast<int>(threadIdx.x) % kSize;
  const int value_channel = 2 * keys + head * kSize + block * kColumns + lane;
  const bool owns_keys = has_key && block == 0 && head % ratio == 0;  // writes their ring
  const int start = args.positions[first_row];

  float key_now = 0, value_now = 0;
  if constexpr (kPhase == Phase::kDecode) {
    const auto convolve = [&](int c, bool owns) {
      const Channel channel(args, sequence, c);
      const float past[3] = {channel.ring[(start + 1) % kRing * channels], channel.ring[(start + 2) % kRing * channels],
                             channel.ring[(start + 3) % kRing * channels]};
      const float now = channel.inputs[0];
      if (owns) channel.ring[start % kRing * channels] = now;
      return ConvSilu(channel.weight, past[0], past[1], past[2], now);
    };
    if (has_key) key_now = convolve(key_channel, owns_keys);
    if (has_value) value_now = convolve(value_channel, true);
  } else {
    const float* conv = args.conv + first_row * channels;
    if (has_key) key_now = conv[key_channel];
    if (has_value) value_now = conv[value_channel];
  }
  const int64_t gate_width = 2 * args.value_heads;
  const float* ba = args.ba + first_row * gate_width + key_head * 2 * ratio + head % ratio;  // (b r | a r)
  float b = ba[0], a = ba[ratio];
  const float rate = expf(args.a_log[head]), dt_bias = args.dt_bias[head];

  for (int64_t t = 0; t < args.tokens; ++t) {
    if (has_key) {
      keyed[threadIdx.x] = key_now;
      const float sum = WarpSum(__fmul_rn(key_now, key_now));  // whole warps: S is a multiple of 32
      if (lane == 0) squares[warp] = sum;
    }
    if (has_value) value[lane] = value_now;
    if (threadIdx.x == kThreads - 1) {
      const Gates now = GatesOf(b, a, rate, dt_bias);
      gates = make_float2(now.decay, now.beta);
    }
    __syncthreads();

    if (t + 1 < args.tokens) {  // under way while this token is computed
      const float* conv = args.conv + (first_row + t + 1) * channels;
      if (has_key) key_now = conv[key_channel];
      if (has_value) value_now = conv[value_channel];
      b = ba[(t + 1) * gate_width], a = ba[(t + 1) * gate_width + ratio];
    }
    const float decay = gates.x, beta = gates.y;
    const float4 v = *reinterpret_cast<const float4*>(&value[quad * 4]);
    float q_squares = 0, k_squares = 0;
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      q_squares = __fadd_rn(q_squares, squares[i]), k_squares = __fadd_rn(k_squares, squares[kRows + i]);
    }
    const float k_scale = __fdiv_rn(1.0f, __fsqrt_rn(__fadd_rn(k_squares, 1e-6f)));
    const float q_scale =
        __fdiv_rn(1.0f, __fsqrt_rn(__fmul_rn(static_cast<float>(kSize), __fadd_rn(q_squares, 1e-6f))));

    float k[kRows];
    float4 seen = make_float4(0, 0, 0, 0), asked = seen;
    float overlap = 0;
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const float q = __fmul_rn(keyed[group + r * kGroups], q_scale);
      k[r] = __fmul_rn(keyed[kSize + group + r * kGroups], k_scale);
      seen = MulAdd(k[r], m[r], seen), asked = MulAdd(q, m[r], asked);
      overlap = __fmaf_rn(k[r], q, overlap);
    }
    seen = GroupSum(seen), asked = GroupSum(asked), overlap = GroupSum(overlap);
    if (lane < kQuads) {
      seen_parts[warp][quad] = seen, asked_parts[warp][quad] = asked;
      if (lane == 0) overlap_parts[warp] = overlap;
    }
    __syncthreads();

    seen = seen_parts[0][quad], asked = asked_parts[0][quad], overlap = overlap_parts[0];
#pragma unroll
    for (int w = 1; w < kWarps; ++w) {
      seen = Add(seen, seen_parts[w][quad]), asked = Add(asked, asked_parts[w][quad]);
      overlap = __fadd_rn(overlap, overlap_parts[w]);
    }
    const float4 u =
        make_float4(__fmul_rn(beta, __fmaf_rn(-decay, seen.x, v.x)), __fmul_rn(beta, __fmaf_rn(-decay, seen.y, v.y)),
                    __fmul_rn(beta, __fmaf_rn(-decay, seen.z, v.z)), __fmul_rn(beta, __fmaf_rn(-decay, seen.w, v.w)));
#pragma unroll
    for (int r = 0; r < kRows; ++r) m[r] = Mix(k[r], u, decay, m[r]);
    if (group == 0) {
      float* out = args.out + ((first_row + t) * args.value_heads + head) * kSize + block * kColumns + quad * 4;
      *reinterpret_cast<float4*>(out) = Mix(overlap, u, decay, asked);
    }
  }

#pragma unroll
  for (int r = 0; r < kRows; ++r) *reinterpret_cast<float4*>(state + (group + r * kGroups) * kSize) = m[r];
  if constexpr (kPhase == Phase::kPrefill) {
    const auto renew = [&](int c) {
      const Channel channel(args, sequence, c);
      for (int64_t t = max(args.tokens - 3, int64_t{0}); t < args.tokens; ++t) {
        channel.ring[(start + t) % kRing * channels] = channel.inputs[t * QkvzWidth(args)];
      }
    };
    if (owns_keys) renew(key_channel);
    if (has_value) renew(value_channel);
  }
}

template <int kRows>
Status LaunchRows(const DeltaStepArgs& args, Stream stream) {
  const dim3 blocks(kRows, static_cast<unsigned>(args.value_heads), static_cast<unsigned>(args.sequences));
  if (args.tokens == 1) {
    DeltaStep<kRows, Phase::kDecode><<<blocks, kThreads, 0, stream>>>(args);
  } else {
    QNEXT_RETURN_IF_ERROR(LaunchConv(args, stream));
    DeltaStep<kRows, Phase::kPrefill><<<blocks, kThreads, 0, stream>>>(args);
  }
  return LaunchStatus("delta_step");
}

Status Check(const DeltaStepArgs& args) {
  if (args.key_heads <= 0 || args.value_heads <= 0 || args.value_heads % args.key_heads != 0) {
    return InvalidArgument("delta_step: value heads must be a multiple of key heads");
  }
  const void* const rows[] = {args.conv_weight, args.state, args.out};
  for (const void* p : rows) {
    if (reinterpret_cast<uintptr_t>(p) % 16 != 0)
      return InvalidArgument("delta_step: pointers must be aligned to 16 bytes");
  }
  if (args.state_stride % 4 != 0) return InvalidArgument("delta_step: state stride must be a multiple of 4");
  if (args.tokens > 1 && args.conv == nullptr) return InvalidArgument("delta_step: several tokens need args.conv");
  return Status();
}

}  // namespace
}  // namespace delta

Status LaunchDeltaStep(const DeltaStepArgs& args, Stream stream) {
  QNEXT_RETURN_IF_ERROR(delta::Check(args));
  if (args.sequences == 0 || args.tokens == 0) return Status();
  switch (args.head_dim) {
    case 32:
      return delta::LaunchRows<1>(args, stream);
    case 64:
      return delta::LaunchRows<2>(args, stream);
    case 96:
      return delta::LaunchRows<3>(args, stream);
    case 128:
      return delta::LaunchRows<4>(args, stream);
    default:
      return Unsupported("delta_step: head dims are 32, 64, 96 or 128");
  }
}

}  // namespace qnext::cuda
