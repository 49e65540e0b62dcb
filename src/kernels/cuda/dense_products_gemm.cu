// The matrix-matrix kernels of LaunchDenseProducts: 64 weight rows times 64 activation rows in a block.
//
// 16-bit weights go through the matrix units; activations are rounded to the weights' type while they are laid into
// shared memory, sums are float32. Float32 weights are multiplied by plain fused multiply-adds.
#include <string>

#include "kernels/cuda/dense_parts.cuh"

namespace qnext::cuda {
namespace {

constexpr char kName[] = "dense_products";
constexpr int kRows = 64;     // weight rows of a block
constexpr int kColumns = 64;  // activation rows of a block

// The part of a block and its first weight row.
struct Block {
  int part, row;
};

__device__ inline Block LocateBlock(const DenseViews& args) {
  Block block = {0, 0};
  const int item = static_cast<int>(blockIdx.x);
  while (item >= args.parts[block.part].items_end) ++block.part;
  block.row = (item - (block.part == 0 ? 0 : args.parts[block.part - 1].items_end)) * kRows;
  return block;
}

// Four neighbouring inputs of an activation row; zero past the end.
__device__ inline float4 LoadFour(const DenseView& part, int row, bool inside, int input, int in) {
  const float* from = part.x + row * part.x_stride;
  if (inside && part.x_vectors && input + 3 < in) return *reinterpret_cast<const float4*>(from + input);
  float v[4];
#pragma unroll
  for (int k = 0; k < 4; ++k) v[k] = inside && input + k < in ? from[input + k] : 0.0f;
  return make_float4(v[0], v[1], v[2], v[3]);
}

// ---- 16-bit weights
// --------------------------------------------------------------------------------------------------

constexpr int kStep = 32;                // inputs that are laid into shared memory at once
constexpr int kPitch = (kStep + 8) * 2;  // bytes from row to row: eight rows' fragments lie in different banks
constexpr int kHalfThreads = 128;        // warps (i, j) of 32 rows and 32 columns each
constexpr int kVectorsOfRow = kStep * 2 / 16;

// Copies the block's weights of inputs `input` .. `input` + kStep - 1 to `to`, zeros past the ends.
template <bool kAligned>
__device__ inline void CopyHalves(uint8_t* to, const DenseView& part, int first_row, int input, int in) {
  const int thread = static_cast<int>(threadIdx.x);
#pragma unroll
  for (int i = 0; i < kRows * kVectorsOfRow / kHalfThreads; ++i) {
    const int v = i * kHalfThreads + thread, r = v / kVectorsOfRow, first = input + v % kVectorsOfRow * 8;
    const bool inside = first_row + r < part.out;
    const uint16_t* row =
        reinterpret_cast<const uint16_t*>(part.weight) + static_cast<int64_t>(inside ? first_row + r : 0) * in;
    uint8_t* at = to + r * kPitch + v % kVectorsOfRow * 16;
    if constexpr (kAligned) {
      CopyAsync16(at, row + (first < in ? first : 0), inside && first < in);
    } else {
      for (int e = 0; e < 8; ++e) {
        reinterpret_cast<uint16_t*>(at)[e] = inside && first + e < in ? row[first + e] : uint16_t{0};
      }
    }
  }
}

constexpr int kFoursOfRow = kStep / 4;
constexpr int kFoursOfThread = kColumns * kFoursOfRow / kHalfThreads;

template <typename Weights, bool kAligned>
__global__ void __launch_bounds__(kHalfThreads) HalfGemm(const __grid_constant__ DenseViews args) {
  __shared__ __align__(16) uint8_t weights[2][kRows * kPitch];
  __shared__ __align__(16) uint8_t inputs[2][kColumns * kPitch];
  const Block block = LocateBlock(args);
  const DenseView& part = args.parts[block.part];
  const int first_column = static_cast<int>(blockIdx.y) * kColumns;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, g = lane >> 2, t = lane & 3;
  const int warp_row = thread / 32 % 2 * 32, warp_column = thread / 64 * 32;

  float4 x[kFoursOfThread];
  const auto load_inputs = [&](int input) {
#pragma unroll
    for (int i = 0; i < kFoursOfThread; ++i) {
      const int v = i * kHalfThreads + thread, column = first_column + v / kFoursOfRow;
      x[i] = LoadFour(part, column, column < args.m, input + v % kFoursOfRow * 4, args.in);
    }
  };
  const auto store_inputs = [&](uint8_t* to) {
#pragma unroll
    for (int i = 0; i < kFoursOfThread; ++i) {
      const int v = i * kHalfThreads + thread;
      *reinterpret_cast<uint2*>(to + v / kFoursOfRow * kPitch + v % kFoursOfRow * 8) =
          make_uint2(Weights::Pack(make_float2(x[i].x, x[i].y)), Weights::Pack(make_float2(x[i].z, x[i].w)));
    }
  };

  CopyHalves<kAligned>(weights[0], part, block.row, 0, args.in);
  CommitCopies();
  load_inputs(0);
  store_inputs(inputs[0]);
  float acc[2][4][4] = {};  // [16 rows][8 columns]
  int stage = 0;
  for (int input = 0; input < args.in; input += kStep, stage ^= 1) {
    WaitForCopies<0>();
    __syncthreads();  // this stage is there, and every thread is done with the other
    const bool more = input + kStep < args.in;
    if (more) {
      CopyHalves<kAligned>(weights[stage ^ 1], part, block.row, input + kStep, args.in);
      load_inputs(input + kStep);
    }
    CommitCopies();
#pragma unroll
    for (int k = 0; k < kStep; k += 16) {
      uint4 a[2];
      uint2 b[4];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const uint8_t* at = weights[stage] + (warp_row + i * 16 + g) * kPitch + (k + 2 * t) * 2;
        a[i] = make_uint4(*reinterpret_cast<const uint32_t*>(at), *reinterpret_cast<const uint32_t*>(at + 8 * kPitch),
                          *reinterpret_cast<const uint32_t*>(at + 16),
                          *reinterpret_cast<const uint32_t*>(at + 8 * kPitch + 16));
      }
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const uint8_t* at = inputs[stage] + (warp_column + j * 8 + g) * kPitch + (k + 2 * t) * 2;
        b[j] = make_uint2(*reinterpret_cast<const uint32_t*>(at), *reinterpret_cast<const uint32_t*>(at + 16));
      }
#pragma unroll
      for (int i = 0; i < 2; ++i) {
#pragma unroll
        for (int j = 0; j < 4; ++j) Weights::MultiplyAdd(acc[i][j], a[i], b[j]);
      }
    }
    if (more) store_inputs(inputs[stage ^ 1]);
  }
#pragma unroll
  for (int i = 0; i < 2; ++i) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
#pragma unroll
      for (int c = 0; c < 4; ++c) {
        const int row = block.row + warp_row + i * 16 + g + c / 2 * 8;
        const int column = first_column + warp_column + j * 8 + 2 * t + c % 2;
        if (row < part.out && column < args.m) part.y[column * part.y_stride + row] = acc[i][j][c];
      }
    }
  }
}

// ---- float32 weights
// -------------------------------------------------------------------------------------------------

constexpr int kFloatStep = 16;
constexpr int kFloatThreads = 256;  // 4 rows and 4 columns each

__global__ void __launch_bounds__(kFloatThreads) FloatGemm(const __grid_constant__ DenseViews args) {
  __shared__ float weights[kFloatStep][kRows + 4];  // rows of four inputs meet in different banks
  __shared__ float inputs[kFloatStep][kColumns + 4];
  const Block block = LocateBlock(args);
  const DenseView& part = args.parts[block.part];
  const int first_column = static_cast<int>(blockIdx.y) * kColumns;
  const int thread = static_cast<int>(threadIdx.x);
  const int own_row = thread % 16 * 4, own_column = thread / 16 * 4;
  const int load_row = thread / 4, load_input = thread % 4 * 4;  // kRows == kColumns: a four of each for every thread
  float acc[4][4] = {};
  for (int input = 0; input < args.in; input += kFloatStep) {
    const int column = first_column + load_row;
    const float4 x = LoadFour(part, column, column < args.m, input + load_input, args.in);
    const float four[4] = {x.x, x.y, x.z, x.w};
    const bool inside = block.row + load_row < part.out;
    const float* row =
        reinterpret_cast<const float*>(part.weight) + static_cast<int64_t>(inside ? block.row + load_row : 0) * args.in;
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const int i = input + load_input + k;
      inputs[load_input + k][load_row] = four[k];
      weights[load_input + k][load_row] = inside && i < args.in ? row[i] : 0.0f;
    }
    __syncthreads();
#pragma unroll
    for (int k = 0; k < kFloatStep; ++k) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          acc[i][j] = __fmaf_rn(weights[k][own_row + i], inputs[k][own_column + j], acc[i][j]);
        }
      }
    }
    __syncthreads();
  }
#pragma unroll
  for (int j = 0; j < 4; ++j) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int row = block.row + own_row + i, column = first_column + own_column + j;
      if (row < part.out && column < args.m) part.y[column * part.y_stride + row] = acc[i][j];
    }
  }
}

}  // namespace

Status LaunchDenseGemm(DType dtype, const DenseViews& given, int count, Stream stream) {
  DenseViews views = given;
  int64_t items = 0;
  for (int p = 0; p < count; ++p) {
    items += CeilDiv(views.parts[p].out, kRows);
    views.parts[p].items_end = static_cast<int32_t>(items);
  }
  views.items = static_cast<int32_t>(items);
  LaunchShape shape = {.blocks_x = items, .blocks_y = CeilDiv(views.m, kColumns), .threads_x = kHalfThreads};
  if (shape.blocks_y > 65535) return Unsupported("dense_products: too many rows");
  const bool aligned = views.in % 8 == 0;
  switch (dtype) {
    case DType::kBF16:
      return aligned ? LaunchKernel(kName, HalfGemm<BF16Weights, true>, shape, stream, views)
                     : LaunchKernel(kName, HalfGemm<BF16Weights, false>, shape, stream, views);
    case DType::kF16:
      return aligned ? LaunchKernel(kName, HalfGemm<F16Weights, true>, shape, stream, views)
                     : LaunchKernel(kName, HalfGemm<F16Weights, false>, shape, stream, views);
    default:
      shape.threads_x = kFloatThreads;
      return LaunchKernel(kName, FloatGemm, shape, stream, views);
  }
}

}  // namespace qnext::cuda
