// LaunchDenseProducts: checks, and the matrix-vector kernels (the matrix-matrix ones: dense_products_gemm.cu).
//
// A row's inputs are cut over the lanes of 1..16 warps, eight inputs each, so that a lane's activations stay in
// registers for all the rows that its block walks over; the weights of the next rows are asked for before the present
// ones are multiplied. Products are exact in float32 up to their own rounding: fused multiply-adds over a lane's inputs
// in order, then a tree over the lanes, then the warps in order. The cut depends on the number of inputs alone.
#include <algorithm>
#include <string>

#include "kernels/cuda/dense_parts.cuh"

namespace qnext::cuda {
namespace {

constexpr char kName[] = "dense_products";
constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;
constexpr int kLaneInputs = kDenseWarpInputs / kWarp;
constexpr int kBlockWarps = 8;  // more where a row takes more

// Rows that a lane has at once.
template <int kM>
constexpr int kRowsOf = kM == 8 ? 2 : 4;

template <typename Weights>
struct LaneWeights {
  static constexpr int kVectors = kLaneInputs / Weights::kVector;
  uint4 v[kVectors];
};

// The lane's input number e lies this far into the warp's 256: a vector's lanes side by side.
template <typename Weights>
__device__ inline int InputOffset(int e, int lane) {
  return e / Weights::kVector * (kWarp * Weights::kVector) + lane * Weights::kVector + e % Weights::kVector;
}

template <typename Weights>
__device__ inline uint32_t LoadElement(const uint8_t* row, int64_t i) {
  if constexpr (Weights::kBytes == 2) {
    return reinterpret_cast<const uint16_t*>(row)[i];
  } else {
    return reinterpret_cast<const uint32_t*>(row)[i];
  }
}

// The lane's inputs of one row, of the warp's 256 that begin at `input`; zero past the row's end. kAligned: rows begin
// on 16 bytes and hold whole vectors.
template <typename Weights, bool kAligned>
__device__ inline void LoadWeights(LaneWeights<Weights>& w, const uint8_t* row, bool inside, int input, int in,
                                   int lane) {
#pragma unroll
  for (int v = 0; v < LaneWeights<Weights>::kVectors; ++v) {
    const int first = input + InputOffset<Weights>(v * Weights::kVector, lane);
    if constexpr (kAligned) {
      w.v[v] = LoadStream16(row + static_cast<int64_t>(first) * Weights::kBytes, inside && first < in, 0);
    } else {
      uint32_t words[4] = {};
      for (int e = 0; e < Weights::kVector; ++e) {
        if (!inside || first + e >= in) break;
        words[e * Weights::kBytes / 4] |= LoadElement<Weights>(row, first + e) << (e * Weights::kBytes % 4 * 8);
      }
      w.v[v] = make_uint4(words[0], words[1], words[2], words[3]);
    }
  }
}

template <typename Weights>
__device__ inline void Unpack(const LaneWeights<Weights>& w, float (&values)[kLaneInputs]) {
#pragma unroll
  for (int v = 0; v < LaneWeights<Weights>::kVectors; ++v) {
    const uint32_t words[4] = {w.v[v].x, w.v[v].y, w.v[v].z, w.v[v].w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if constexpr (Weights::kBytes == 2) {
        const float2 pair = Weights::Unpack(words[i]);
        values[v * 8 + 2 * i] = pair.x, values[v * 8 + 2 * i + 1] = pair.y;
      } else {
        values[v * 4 + i] = __uint_as_float(words[i]);
      }
    }
  }
}

// The lane's inputs of the activation rows; zero past the end and past row m.
template <typename Weights, int kM>
__device__ inline void LoadInputs(float (&x)[kM][kLaneInputs], const DenseView& part, int m, int input, int in,
                                  int lane) {
#pragma unroll
  for (int row = 0; row < kM; ++row) {
    const float* from = part.x + row * part.x_stride;
#pragma unroll
    for (int e = 0; e < kLaneInputs; e += 4) {
      const int first = input + InputOffset<Weights>(e, lane);
      if (row < m && part.x_vectors && first + 3 < in) {
        const float4 v = *reinterpret_cast<const float4*>(from + first);
        x[row][e] = v.x, x[row][e + 1] = v.y, x[row][e + 2] = v.z, x[row][e + 3] = v.w;
      } else {
#pragma unroll
        for (int k = 0; k < 4; ++k) x[row][e + k] = row < m && first + k < in ? from[first + k] : 0.0f;
      }
    }
  }
}

// Adds each of kN values over the lanes: halves of the values are exchanged while there are several, so that lane l
// ends with the sum of value l / (32 / kN). Which lanes meet in which order is the same for every kN.
template <int kN>
__device__ inline float SumOverLanes(float (&v)[kN], int lane) {
  int distance = kWarp / 2;
#pragma unroll
  for (int n = kN; n > 1; n /= 2, distance /= 2) {
    const bool upper = (lane & distance) != 0;
#pragma unroll
    for (int i = 0; i < n / 2; ++i) {
      const float give = upper ? v[i] : v[i + n / 2], keep = upper ? v[i + n / 2] : v[i];
      v[i] = keep + __shfl_xor_sync(kAllLanes, give, distance);
    }
  }
#pragma unroll
  for (; distance > 0; distance /= 2) v[0] += __shfl_xor_sync(kAllLanes, v[0], distance);
  return v[0];
}

// Blocks of (32, warps of a row, row groups) threads; an item is kRows rows for each row group.
template <typename Weights, int kM, bool kAligned>
__global__ void __launch_bounds__(kDenseMostWarps* kWarp) DenseGemv(const __grid_constant__ DenseViews args) {
  constexpr int kRows = kRowsOf<kM>;
  constexpr int kSums = kRows * kM;
  __shared__ float sums[2][kDenseMostWarps][kSums];
  const int lane = static_cast<int>(threadIdx.x);
  const int row_warps = static_cast<int>(blockDim.y), groups = static_cast<int>(blockDim.z);
  const int warp = static_cast<int>(threadIdx.z) * row_warps + static_cast<int>(threadIdx.y);
  const int step = row_warps * kDenseWarpInputs;  // inputs that the block reads at once
  const int first_input = static_cast<int>(threadIdx.y) * kDenseWarpInputs;

  struct At {
    int item, input, part, row;
  };
  const auto locate = [&](int item) {
    At at = {item, first_input, 0, 0};
    if (item >= args.items) return at;
    while (item >= args.parts[at.part].items_end) ++at.part;
    const int first_item = at.part == 0 ? 0 : args.parts[at.part - 1].items_end;
    at.row = ((item - first_item) * groups + static_cast<int>(threadIdx.z)) * kRows;
    return at;
  };
  const auto load = [&](LaneWeights<Weights>(&w)[kRows], const At& at) {
    const DenseView& part = args.parts[at.part];
    const uint8_t* row = part.weight + static_cast<int64_t>(at.row) * args.in * Weights::kBytes;
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      LoadWeights<Weights, kAligned>(w[r], row + static_cast<int64_t>(r) * args.in * Weights::kBytes,
                                     at.item < args.items && at.row + r < part.out, at.input, args.in, lane);
    }
  };

  At at = locate(static_cast<int>(blockIdx.x));
  LaneWeights<Weights> w[kRows];
  load(w, at);
  float x[kM][kLaneInputs], acc[kSums] = {};
  int x_part = -1, x_input = -1, buffer = 0;
  while (at.item < args.items) {
    At next = at;
    next.input += step;
    const bool last = next.input - first_input >= args.in;
    if (last) next = locate(at.item + static_cast<int>(gridDim.x));
    LaneWeights<Weights> w_next[kRows];
    load(w_next, next);

    const DenseView& part = args.parts[at.part];
    if (at.input != x_input || (at.part != x_part && (x_part < 0 || part.x != args.parts[x_part].x))) {
      LoadInputs<Weights>(x, part, args.m, at.input, args.in, lane);
      x_input = at.input;
    }
    x_part = at.part;
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      float values[kLaneInputs];
      Unpack<Weights>(w[r], values);
#pragma unroll
      for (int row = 0; row < kM; ++row) {
#pragma unroll
        for (int e = 0; e < kLaneInputs; ++e) acc[r * kM + row] = __fmaf_rn(values[e], x[row][e], acc[r * kM + row]);
      }
    }
    if (last) {
      const float sum = SumOverLanes(acc, lane);
      constexpr int kLanesOfSum = kWarp / kSums;
      if (lane % kLanesOfSum == 0) sums[buffer][warp][lane / kLanesOfSum] = sum;
      __syncthreads();
      const int thread = warp * kWarp + lane;
      if (thread < groups * kSums) {
        const int group = thread / kSums, r = thread % kSums / kM, row = thread % kM;
        const int output = at.row + (group - static_cast<int>(threadIdx.z)) * kRows + r;
        if (output < part.out && row < args.m) {
          const float(*from)[kSums] = &sums[buffer][group * row_warps];
          float total = from[0][thread % kSums];
          for (int k = 1; k < row_warps; ++k) total += from[k][thread % kSums];
          part.y[row * part.y_stride + output] = total;
        }
      }
      // Whoever writes this buffer again has passed the next item's barrier, which all threads reach after reading
      // here.
      buffer ^= 1;
#pragma unroll
      for (int i = 0; i < kSums; ++i) acc[i] = 0;
    }
    at = next;
#pragma unroll
    for (int r = 0; r < kRows; ++r) w[r] = w_next[r];
  }
}

template <typename Weights, int kM, bool kAligned>
Status LaunchGemv(DenseViews views, int count, Stream stream) {
  constexpr auto kKernel = DenseGemv<Weights, kM, kAligned>;
  const int32_t row_warps = DenseWarpsPerRow(views.in);
  const int32_t groups = std::max(1, kBlockWarps / row_warps);
  int64_t items = 0;
  for (int p = 0; p < count; ++p) {
    items += CeilDiv(views.parts[p].out, int64_t{groups} * kRowsOf<kM>);
    views.parts[p].items_end = static_cast<int32_t>(items);
  }
  views.items = static_cast<int32_t>(items);
  QNEXT_ASSIGN_OR_RETURN(const int64_t resident, ResidentBlocks(kName, kKernel, row_warps * groups * kWarp, 0));
  return LaunchKernel(
      kName, kKernel,
      {.blocks_x = std::min(items, resident), .threads_x = kWarp, .threads_y = row_warps, .threads_z = groups}, stream,
      views);
}

template <typename Weights>
Status LaunchGemvOf(const DenseViews& views, int count, bool aligned, Stream stream) {
  // Rows that are not aligned are rare: one kernel serves any m.
  if (!aligned) return LaunchGemv<Weights, 8, false>(views, count, stream);
  if (views.m == 1) return LaunchGemv<Weights, 1, true>(views, count, stream);
  if (views.m == 2) return LaunchGemv<Weights, 2, true>(views, count, stream);
  if (views.m <= 4) return LaunchGemv<Weights, 4, true>(views, count, stream);
  return LaunchGemv<Weights, 8, true>(views, count, stream);
}

Status LaunchGemvOf(DType dtype, const DenseViews& views, int count, Stream stream) {
  const bool aligned = views.in * DTypeSize(dtype) % 16 == 0;
  switch (dtype) {
    case DType::kBF16:
      return LaunchGemvOf<BF16Weights>(views, count, aligned, stream);
    case DType::kF16:
      return LaunchGemvOf<F16Weights>(views, count, aligned, stream);
    default:
      return LaunchGemvOf<F32Weights>(views, count, aligned, stream);
  }
}

Status CheckPart(const DensePart& part, int64_t m) {
  if (!IsFloat16Or32(part.dtype)) return InvalidArgument("weights are F32, F16 or BF16");
  if (part.in < 1 || part.out < 1 || part.in > (int64_t{1} << 24) || part.out > (int64_t{1} << 28)) {
    return InvalidArgument("no rows or no inputs, or too many");
  }
  if (!AlignedTo(part.weight, 16)) return InvalidArgument("weights are not 16-byte aligned");
  if (m > 1 && (part.x_stride < part.in || part.y_stride < part.out)) return InvalidArgument("rows overlap");
  return Status();
}

}  // namespace

Status LaunchDenseProducts(const DenseProductsArgs& args, Stream stream) {
  if (args.count < 1 || args.count > kMaxParts || args.m < 1 || args.m > (int64_t{1} << 20)) {
    return InvalidArgument("dense_products: no parts or no rows");
  }
  for (int p = 0; p < args.count; ++p) {
    const Status status = CheckPart(args.parts[p], args.m);
    if (!status.ok()) return status.WithContext(kName);
  }
  // Parts that are alike go in one launch.
  bool launched[kMaxParts] = {};
  for (int first = 0; first < args.count; ++first) {
    if (launched[first]) continue;
    const DensePart& like = args.parts[first];
    DenseViews views = {};
    views.in = static_cast<int32_t>(like.in);
    views.m = static_cast<int32_t>(args.m);
    int count = 0;
    for (int p = first; p < args.count; ++p) {
      const DensePart& part = args.parts[p];
      if (part.dtype != like.dtype || part.in != like.in) continue;
      views.parts[count++] = {.weight = static_cast<const uint8_t*>(part.weight),
                              .x = part.x,
                              .y = part.y,
                              .x_stride = part.x_stride,
                              .y_stride = part.y_stride,
                              .out = static_cast<int32_t>(part.out),
                              .items_end = 0,
                              .x_vectors = AlignedTo(part.x, 16) && (args.m == 1 || part.x_stride % 4 == 0)};
      launched[p] = true;
    }
    QNEXT_RETURN_IF_ERROR(args.m > kMaxDecodeRows ? LaunchDenseGemm(like.dtype, views, count, stream)
                                                  : LaunchGemvOf(like.dtype, views, count, stream));
  }
  return Status();
}

}  // namespace qnext::cuda
