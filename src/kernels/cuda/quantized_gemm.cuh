// Products of four weight tiles with 64 activation rows, as one block computes them: the heart of the matrix-matrix
// kernels. A quad (128 inputs) of everything is copied to shared memory while the one before is multiplied. Warp w has
// the columns (activation rows) 16w .. 16w+15 and all 64 weight rows. Order of the sums: quantized_tile.cuh, so that a
// row's bits are those of the matrix-vector kernels.
#pragma once

#include "kernels/cuda/quantized_parts.cuh"

namespace qnext::cuda {

constexpr int kGemmTiles = 4;  // a warp copies one
constexpr int kGemmColumns = 64;
constexpr int kGemmThreads = kGemmTiles * kWarp;
constexpr int kGemmWarpColumns = kGemmColumns / kGemmTiles;      // of a warp
constexpr int kGemmWarpBlocks = kGemmWarpColumns / kMmaColumns;  // in steps of the instruction
constexpr int kGemmStages = 2;

// A column's activations of a quad, in shared memory: 128 codes, 32 bytes apart so that four columns' lanes read
// without conflict; then the scales of the four runs, then their sums.
struct GemmColumn {
  static constexpr int kCodePitch = kQuadRuns * kRunInputs + 32;
  static constexpr int kScalesOffset = kGemmColumns * kCodePitch;
  static constexpr int kSumsOffset = kScalesOffset + kGemmColumns * kQuadRuns * 4;
  static constexpr int kBytes = kSumsOffset + kGemmColumns * kQuadRuns * 4;
};

// kTwoInputs: the last two tiles have activations of their own.
template <typename Quad, bool kTwoInputs>
struct GemmShared {
  static constexpr int kInputsOffset = kGemmTiles * Quad::kBytes;
  static constexpr int kStageBytes = kInputsOffset + (kTwoInputs ? 2 : 1) * GemmColumn::kBytes;
  static constexpr int kBytes = kGemmStages * kStageBytes;
};

// A lane's sums: [tile][block of 8 columns].
struct GemmSums {
  LaneSums<2> v[kGemmTiles][kGemmWarpBlocks];
};

// Starts the block's copies of quad `run` of the columns' activations. rows[c] is column c's activation row, or -1:
// zeros.
template <bool kZeros>
__device__ inline void CopyColumns(uint8_t* to, const QuantizedInputs& x, const int32_t* rows, int run, int runs) {
  constexpr int kVectors = kQuadRuns * kRunInputs / 16;  // of a column
  const int thread = static_cast<int>(threadIdx.x);
#pragma unroll
  for (int i = 0; i < kGemmColumns * kVectors / kGemmThreads; ++i) {
    const int v = i * kGemmThreads + thread, column = v / kVectors, part = v % kVectors;
    const int row = rows[column];
    const bool inside = row >= 0 && run + part * 16 / kRunInputs < runs;
    const int64_t from = inside ? (static_cast<int64_t>(row) * runs + run) * kRunInputs + part * 16 : 0;
    CopyAsync16(to + column * GemmColumn::kCodePitch + part * 16, x.codes + from, inside);
  }
#pragma unroll
  for (int i = 0; i < kGemmColumns * kQuadRuns / kGemmThreads; ++i) {
    const int v = i * kGemmThreads + thread, column = v / kQuadRuns, r = v % kQuadRuns;
    const int row = rows[column];
    const bool inside = row >= 0 && run + r < runs;
    const int64_t from = inside ? static_cast<int64_t>(row) * runs + run + r : 0;
    CopyAsync4(to + GemmColumn::kScalesOffset + v * 4, x.scales + from, inside);
    if constexpr (kZeros) CopyAsync4(to + GemmColumn::kSumsOffset + v * 4, x.sums + from, inside);
  }
}

// part, acc: see quantized_tile.cuh.
template <typename Quad, bool kZeros, bool kTwoInputs>
__device__ inline void MultiplyGemmQuad(const uint8_t* stage, bool bf16_scales, int warp, int lane, GemmSums& acc) {
  using Format = typename Quad::Format;
  using Shared = GemmShared<Quad, kTwoInputs>;
  const int g = lane >> 2, t = lane & 3;
  GemmSums part;
#pragma unroll
  for (int i = 0; i < kQuadRuns; ++i) {
    const int entry = i / Quad::kRunsPerEntry;
#pragma unroll
    for (int half = 0; half < (kTwoInputs ? 2 : 1); ++half) {
      constexpr int kTilesOfHalf = kTwoInputs ? kGemmTiles / 2 : kGemmTiles;
      const uint8_t* x = stage + Shared::kInputsOffset + half * GemmColumn::kBytes;
      uint2 inputs[kGemmWarpBlocks];
      PerColumn<float, 2> scales[kGemmWarpBlocks];
      PerColumn<int32_t, 2> sums[kGemmWarpBlocks];
#pragma unroll
      for (int b = 0; b < kGemmWarpBlocks; ++b) {
        const int column = warp * kGemmWarpColumns + b * kMmaColumns;
        inputs[b] = Format::Inputs(x + (column + g) * GemmColumn::kCodePitch + i * kRunInputs, t);
        const int at = (column + 2 * t) * kQuadRuns + i;
        const float* scale = reinterpret_cast<const float*>(x + GemmColumn::kScalesOffset) + at;
        scales[b] = {{scale[0], scale[kQuadRuns]}};
        if constexpr (kZeros) {
          const int32_t* sum = reinterpret_cast<const int32_t*>(x + GemmColumn::kSumsOffset) + at;
          sums[b] = {{sum[0], sum[kQuadRuns]}};
        }
      }
#pragma unroll
      for (int k = 0; k < kTilesOfHalf; ++k) {
        const int tile = half * kTilesOfHalf + k;
        const uint8_t* quad = stage + tile * Quad::kBytes;
        const uint4 weights = Format::Fragment(quad + i * Format::kRunBytes, g, t);
        const int2 zeros = Quad::Zeros(quad, entry, g);
#pragma unroll
        for (int b = 0; b < kGemmWarpBlocks; ++b) {
          AddRun(part.v[tile][b], RunDots<kZeros>(weights, inputs[b], zeros, sums[b]), scales[b],
                 i % Quad::kRunsPerEntry == 0);
        }
        if ((i + 1) % Quad::kRunsPerEntry == 0) {
          const float2 tile_scales = Format::Scales(Quad::Scales(quad, entry), g, bf16_scales);
#pragma unroll
          for (int b = 0; b < kGemmWarpBlocks; ++b) AddPart(acc.v[tile][b], part.v[tile][b], tile_scales);
        }
      }
    }
  }
}

// total = tiles · columns, before Format::kOutputScale. Thread blocks of kGemmThreads; every warp passes the tile that
// it copies (`inside` false: there is none; its sums mean nothing). rows: [kGemmColumns] in shared memory, written
// before a barrier that all threads have passed. On return all threads are done with the shared memory and with rows.
template <typename Quad, bool kZeros, bool kTwoInputs>
__device__ inline void MultiplyTiles(const TilePlanes& tile, bool inside, const TileShape& shape,
                                     const QuantizedInputs& x, const QuantizedInputs& x_second, const int32_t* rows,
                                     uint8_t* shared, GemmSums& total) {
  using Shared = GemmShared<Quad, kTwoInputs>;
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  QuadSource source = QuadSource::Of<typename Quad::Format>(tile, shape, 0, lane);
  const auto copy = [&](int run) {
    uint8_t* stage = shared + run / kQuadRuns % kGemmStages * Shared::kStageBytes;
    if (inside) Quad::CopyNext(stage + warp * Quad::kBytes, source, static_cast<unsigned>(lane));
    CopyColumns<kZeros>(stage + Shared::kInputsOffset, x, rows, run, shape.runs);
    if constexpr (kTwoInputs) {
      CopyColumns<kZeros>(stage + Shared::kInputsOffset + GemmColumn::kBytes, x_second, rows, run, shape.runs);
    }
  };

  copy(0);
  CommitCopies();
  GemmSums acc;
  for (int run = 0, slice_end = shape.slice_runs; run < shape.runs; run += kQuadRuns) {
    if (run + kQuadRuns < shape.runs) copy(run + kQuadRuns);
    CommitCopies();
    WaitForCopies<1>();
    __syncthreads();  // every thread's copies of this quad are there
    MultiplyGemmQuad<Quad, kZeros, kTwoInputs>(shared + run / kQuadRuns % kGemmStages * Shared::kStageBytes,
                                               shape.bf16_scales, warp, lane, acc);
    __syncthreads();  // every thread is done with the stage
    const bool slice_done = run + kQuadRuns >= slice_end || run + kQuadRuns >= shape.runs;
    if (slice_done) {
      const bool first = slice_end == shape.slice_runs;
#pragma unroll
      for (int k = 0; k < kGemmTiles; ++k) {
#pragma unroll
        for (int b = 0; b < kGemmWarpBlocks; ++b) {
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            total.v[k][b].v[i] = first ? acc.v[k][b].v[i] : total.v[k][b].v[i] + acc.v[k][b].v[i];
            acc.v[k][b].v[i] = 0;
          }
        }
      }
      slice_end += shape.slice_runs;
    }
  }
}

// Block (four tiles of a part, 64 rows).
template <typename Format, bool kOneGroup, bool kZeros>
__global__ void __launch_bounds__(kGemmThreads, 3) QuantizedGemm(const __grid_constant__ QuantizedGemvArgs args) {
  using Quad = TileQuad<Format, kOneGroup, kZeros>;
  __shared__ int32_t rows[kGemmColumns];
  const int thread = static_cast<int>(threadIdx.x), warp = thread / kWarp, lane = thread % kWarp;
  const int g = lane >> 2, t = lane & 3;
  int p = 0;
  while (static_cast<int>(blockIdx.x) >= args.parts[p].items_end) ++p;
  const QuantizedPart& part = args.parts[p];
  const int item = static_cast<int>(blockIdx.x) - (p == 0 ? 0 : args.parts[p - 1].items_end);
  const int first_tile = item * kGemmTiles, first_row = static_cast<int>(blockIdx.y) * kGemmColumns;
  if (thread < kGemmColumns) rows[thread] = first_row + thread < args.m ? first_row + thread : -1;
  __syncthreads();

  const int tile = first_tile + warp;
  const bool inside = tile < part.shape.tiles;
  GemmSums total;
  MultiplyTiles<Quad, kZeros, false>(part.planes.Tile<Format>(part.shape, inside ? tile : 0), inside, part.shape,
                                     part.x, part.x, rows, SharedMemory(), total);
#pragma unroll
  for (int k = 0; k < kGemmTiles; ++k) {
#pragma unroll
    for (int b = 0; b < kGemmWarpBlocks; ++b) {
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const int row = first_row + warp * kGemmWarpColumns + b * kMmaColumns + 2 * t + j;
        const int output = (first_tile + k) * kTileRows + 2 * g;
        if (row >= args.m) continue;
        float* y = part.y + row * part.y_stride;
        if (output < part.shape.out) y[output] = total.v[k][b].v[j] * Format::kOutputScale;
        if (output + 1 < part.shape.out) y[output + 1] = total.v[k][b].v[2 + j] * Format::kOutputScale;
      }
    }
  }
}

template <typename Format, bool kOneGroup, bool kZeros>
Status LaunchQuantizedGemm(const char* name, QuantizedGemvArgs args, int count, Stream stream) {
  using Shared = GemmShared<TileQuad<Format, kOneGroup, kZeros>, false>;
  int64_t items = 0;
  for (int p = 0; p < count; ++p) {
    items += CeilDiv(args.parts[p].shape.tiles, kGemmTiles);
    args.parts[p].items_end = static_cast<int32_t>(items);
  }
  args.items = static_cast<int32_t>(items);
  const int64_t blocks_y = CeilDiv(args.m, kGemmColumns);
  if (blocks_y > 65535) return Unsupported(std::string(name) + ": too many rows");
  return LaunchKernel(
      name, QuantizedGemm<Format, kOneGroup, kZeros>,
      {.blocks_x = items, .blocks_y = blocks_y, .threads_x = kGemmThreads, .shared_bytes = Shared::kBytes}, stream,
      args);
}

}  // namespace qnext::cuda
