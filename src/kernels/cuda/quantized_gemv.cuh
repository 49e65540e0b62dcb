// Matrix-vector products of int4 or int8 weights with 1..8 activation rows, over the tiles of several matrices.
//
// A block holds tiles_per_item tiles at a time, a warp for each slice of their rows, and walks over its items. Each
// warp keeps kStages quads of weights on their way to shared memory, across the items, and needs the block only to add
// up the slices. Activations are laid into shared memory once.
#pragma once

#include <algorithm>
#include <string>

#include "kernels/cuda/quantized_parts.cuh"

namespace qnext::cuda {

// Shared memory of a block, in order: the warps' stages, two buffers of the slices' sums, the activations.
template <typename Quad, int kColumns>
struct GemvShared {
  static constexpr int kStageBytes = Quad::Format::kStages * Quad::kBytes;  // of a warp
  static constexpr int kPitch = InputView<kColumns>::kColumnPitch;
  static constexpr int kSumsOfWarp = kTileRows * kPitch;

  // Rows a multiple of 128 bytes and 32 more apart: the lanes of four columns read 32 bytes each without conflict.
  __host__ __device__ static int CodePitch(int runs) { return (runs * kRunInputs + 127) / 128 * 128 + 32; }
  // The last quad may reach past the last run.
  __host__ __device__ static int PaddedRuns(int runs) { return (runs + kQuadRuns - 1) / kQuadRuns * kQuadRuns; }
  __host__ __device__ static int SumsOffset(int warps) { return warps * kStageBytes; }
  __host__ __device__ static int CodesOffset(int warps) { return SumsOffset(warps) + 2 * warps * kSumsOfWarp * 4; }
  __host__ __device__ static int ScalesOffset(int warps, int runs, int m) {
    return CodesOffset(warps) + m * CodePitch(runs) + kQuadRuns * kRunInputs;
  }
  __host__ __device__ static int InputSumsOffset(int warps, int runs, int m) {
    return ScalesOffset(warps, runs, m) + PaddedRuns(runs) * kPitch * 4;
  }
  static int64_t Bytes(int warps, int runs, int m, bool zeros) {
    return InputSumsOffset(warps, runs, m) + (zeros ? PaddedRuns(runs) * kPitch * 4 : 0);
  }
};

// Starts copying m activation rows to shared memory. Columns from m on repeat the last row; runs past the end have
// scale 0. Commits nothing.
template <typename Quad, bool kZeros, int kColumns>
__device__ inline void CopyInputs(const QuantizedInputs& x, int runs, int m, int warp, int warps, int lane,
                                  uint8_t* shared) {
  using Shared = GemvShared<Quad, kColumns>;
  const int vectors = runs * kRunInputs / 16;
  for (int row = 0; row < m; ++row) {
    uint8_t* to = shared + Shared::CodesOffset(warps) + row * Shared::CodePitch(runs);
    const uint8_t* from = x.codes + static_cast<int64_t>(row) * runs * kRunInputs;
    for (int v = warp * kWarp + lane; v < vectors; v += warps * kWarp) CopyAsync16(to + v * 16, from + v * 16, true);
  }
  float* scales = reinterpret_cast<float*>(shared + Shared::ScalesOffset(warps, runs, m));
  int32_t* sums = reinterpret_cast<int32_t*>(shared + Shared::InputSumsOffset(warps, runs, m));
  for (int column = warp; column < Shared::kPitch; column += warps) {
    const int64_t row = static_cast<int64_t>(min(column, m - 1)) * runs;
    for (int run = lane; run < Shared::PaddedRuns(runs); run += kWarp) {
      const int to = run * Shared::kPitch + column;
      const int64_t from = row + min(run, runs - 1);
      CopyAsync4(scales + to, x.scales + from, run < runs);
      if constexpr (kZeros) CopyAsync4(sums + to, x.sums + from, run < runs);
    }
  }
}

// What a warp does in one item.
struct GemvWork {
  int part;
  int first_tile;  // of the item
  int tile;        // the warp's own; -1 where there is none left
};

// `item` is one of args' items.
__device__ inline GemvWork LocateGemvWork(const QuantizedGemvArgs& args, int item) {
  GemvWork work = {};
  while (item >= args.parts[work.part].items_end) ++work.part;
  const int first_item = work.part == 0 ? 0 : args.parts[work.part - 1].items_end;
  work.first_tile = (item - first_item) * args.tiles_per_item;
  work.tile = work.first_tile + static_cast<int>(threadIdx.z);
  if (work.tile >= args.parts[work.part].shape.tiles) work.tile = -1;
  return work;
}

// A warp's weights on their way: which quad is copied next.
template <typename Quad>
class GemvCopies {
 public:
  __device__ GemvCopies(const QuantizedGemvArgs& args, int lane) : item_(static_cast<int>(blockIdx.x)), lane_(lane) {
    Locate(args);
  }

  // Starts copying the next quad, if there is one, and commits: each call is one group of copies.
  __device__ void Next(const QuantizedGemvArgs& args, uint8_t* stage) {
    if (item_ < args.items) {
      Quad::CopyNext(stage, source_, static_cast<unsigned>(lane_));
      if (source_.run >= end_) {
        item_ += static_cast<int>(gridDim.x);
        Locate(args);
      }
    }
    CommitCopies();
  }

 private:
  // From item_ on, the first item that has a tile for this warp.
  __device__ void Locate(const QuantizedGemvArgs& args) {
    for (; item_ < args.items; item_ += static_cast<int>(gridDim.x)) {
      const GemvWork work = LocateGemvWork(args, item_);
      if (work.tile < 0) continue;
      const QuantizedPart& part = args.parts[work.part];
      const int begin = static_cast<int>(threadIdx.y) * part.shape.slice_runs;
      source_ = QuadSource::Of<typename Quad::Format>(part.planes.Tile<typename Quad::Format>(part.shape, work.tile),
                                                      part.shape, begin, lane_);
      end_ = min(begin + part.shape.slice_runs, part.shape.runs);
      return;
    }
  }

  QuadSource source_ = {};
  int item_, lane_, end_ = 0;
};

// Blocks of (32, slices, tiles_per_item) threads.
template <typename Format, bool kOneGroup, bool kZeros, int kColumns>
__global__ void __launch_bounds__(kGemvMostWarps* kWarp) QuantizedGemv(const __grid_constant__ QuantizedGemvArgs args) {
  using Quad = TileQuad<Format, kOneGroup, kZeros>;
  using Shared = GemvShared<Quad, kColumns>;
  constexpr int kStages = Format::kStages;
  uint8_t* shared = SharedMemory();
  const int slices = static_cast<int>(blockDim.y), warps = slices * static_cast<int>(blockDim.z);
  const int warp = static_cast<int>(threadIdx.z) * slices + static_cast<int>(threadIdx.y);
  const int lane = static_cast<int>(threadIdx.x), g = lane >> 2, t = lane & 3;
  uint8_t* stages = shared + warp * Shared::kStageBytes;

  // Every block has a first item.
  int staged = LocateGemvWork(args, static_cast<int>(blockIdx.x)).part;
  CopyInputs<Quad, kZeros, kColumns>(args.parts[staged].x, args.parts[staged].shape.runs, args.m, warp, warps, lane,
                                     shared);
  CommitCopies();
  GemvCopies<Quad> copies(args, lane);
  for (int s = 0; s < kStages; ++s) copies.Next(args, stages + s * Quad::kBytes);
  WaitForCopies<kStages>();
  __syncthreads();

  int stage = 0, buffer = 0;
  for (int item = static_cast<int>(blockIdx.x); item < args.items; item += static_cast<int>(gridDim.x)) {
    const GemvWork work = LocateGemvWork(args, item);
    const QuantizedPart& part = args.parts[work.part];
    const TileShape& shape = part.shape;
    if (work.part != staged) {
      if (args.parts[staged].x.codes != part.x.codes) {
        __syncthreads();  // all warps are done with the other activations
        CopyInputs<Quad, kZeros, kColumns>(part.x, shape.runs, args.m, warp, warps, lane, shared);
        CommitCopies();
        WaitForCopies<0>();
        __syncthreads();
      }
      staged = work.part;
    }

    LaneSums<kColumns> acc;
    if (work.tile >= 0) {
      const int column = kColumns == 1 ? 0 : 2 * t;
      const InputView<kColumns> x = {
          shared + Shared::CodesOffset(warps) + min(g, args.m - 1) * Shared::CodePitch(shape.runs),
          reinterpret_cast<const float*>(shared + Shared::ScalesOffset(warps, shape.runs, args.m)) + column,
          reinterpret_cast<const int32_t*>(shared + Shared::InputSumsOffset(warps, shape.runs, args.m)) + column};
      const int begin = static_cast<int>(threadIdx.y) * shape.slice_runs;
      const int end = min(begin + shape.slice_runs, shape.runs);
      for (int run = begin; run < end; run += kQuadRuns) {
        uint8_t* quad = stages + stage * Quad::kBytes;
        WaitForCopies<kStages - 1>();
        __syncwarp();  // every lane's copies are there
        MultiplyQuad<Quad, kZeros>(quad, shape.bf16_scales, x, run, lane, acc);
        __syncwarp();  // every lane is done with the stage
        copies.Next(args, quad);
        stage = stage + 1 == kStages ? 0 : stage + 1;
      }
    }

    // Every slice's sums side by side, then added in order of the slices.
    float* sums = reinterpret_cast<float*>(shared + Shared::SumsOffset(warps)) + buffer * warps * Shared::kSumsOfWarp;
    float* own = sums + warp * Shared::kSumsOfWarp;
    if constexpr (kColumns == 1) {
      if (t == 0) own[2 * g] = acc.v[0], own[2 * g + 1] = acc.v[1];
    } else {
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        float* at = own + (2 * g + r) * Shared::kPitch + 2 * t;
        *reinterpret_cast<float2*>(at) = make_float2(acc.v[r * 2], acc.v[r * 2 + 1]);
      }
    }
    __syncthreads();
    // A warp for 16 rows and two activation rows at once.
    for (int c = warp * 2 + lane / kTileRows; c < args.m * args.tiles_per_item; c += warps * 2) {
      const int tile = c / args.m, column = c % args.m;
      const int r = lane % kTileRows, row = (work.first_tile + tile) * kTileRows + r;
      if (row >= shape.out) continue;
      const float* from = sums + tile * slices * Shared::kSumsOfWarp + r * Shared::kPitch + column;
      float sum = from[0];
      for (int slice = 1; slice < slices; ++slice) sum += from[slice * Shared::kSumsOfWarp];
      part.y[column * part.y_stride + row] = sum * Format::kOutputScale;
    }
    // The next item takes the other buffer: whoever writes this one again has passed the next item's barrier, which all
    // threads reach only after reading here.
    buffer ^= 1;
  }
}

// One launch over parts that are alike in format and slices, for rows that fit a block's shared memory.
template <typename Format, bool kOneGroup, bool kZeros, int kColumns>
Status LaunchGemvRows(const char* name, QuantizedGemvArgs args, int count, Stream stream) {
  using Shared = GemvShared<TileQuad<Format, kOneGroup, kZeros>, kColumns>;
  constexpr auto kKernel = QuantizedGemv<Format, kOneGroup, kZeros, kColumns>;
  const TileShape& shape = args.parts[0].shape;
  int64_t items = 0;
  for (int p = 0; p < count; ++p) {
    items += CeilDiv(args.parts[p].shape.tiles, args.tiles_per_item);
    args.parts[p].items_end = static_cast<int32_t>(items);
  }
  args.items = static_cast<int32_t>(items);
  const int32_t warps = shape.slices * args.tiles_per_item;
  const int64_t shared = Shared::Bytes(warps, shape.runs, args.m, kZeros);
  if (shared > kMostSharedBytes) return Unsupported(std::string(name) + ": a row has too many inputs");
  QNEXT_ASSIGN_OR_RETURN(const int64_t resident, ResidentBlocks(name, kKernel, warps * kWarp, shared));
  return LaunchKernel(name, kKernel,
                      {.blocks_x = std::min(items, resident),
                       .threads_x = kWarp,
                       .threads_y = shape.slices,
                       .threads_z = args.tiles_per_item,
                       .shared_bytes = shared},
                      stream, args);
}

// The same for any m up to kMaxDecodeRows. Rows whose activations do not fit together go a half after the other, which
// no bit depends on.
template <typename Format, bool kOneGroup, bool kZeros>
Status LaunchQuantizedGemv(const char* name, const QuantizedGemvArgs& args, int count, Stream stream) {
  using Shared = GemvShared<TileQuad<Format, kOneGroup, kZeros>, 2>;
  const TileShape& shape = args.parts[0].shape;
  int64_t tiles = 0;
  for (int p = 0; p < count; ++p) tiles += args.parts[p].shape.tiles;
  QNEXT_ASSIGN_OR_RETURN(const int64_t processors, ProcessorCount());
  QuantizedGemvArgs some = args;
  some.tiles_per_item = GemvTilesPerBlock(shape.slices, tiles, processors);
  int32_t rows = args.m;
  while (rows > 1 && Shared::Bytes(shape.slices * some.tiles_per_item, shape.runs, rows, kZeros) > kMostSharedBytes) {
    if (some.tiles_per_item > 1) {
      some.tiles_per_item /= 2;
    } else {
      rows = (rows + 1) / 2;
    }
  }
  for (int32_t row = 0; row < args.m; row += rows) {
    some.m = std::min(rows, args.m - row);
    for (int p = 0; p < count; ++p) some.parts[p].SetRows(args.parts[p], row);
    QNEXT_RETURN_IF_ERROR((some.m == 1 ? LaunchGemvRows<Format, kOneGroup, kZeros, 1>(name, some, count, stream)
                                       : LaunchGemvRows<Format, kOneGroup, kZeros, 2>(name, some, count, stream)));
  }
  return Status();
}

}  // namespace qnext::cuda
