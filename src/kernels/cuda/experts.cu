// LaunchExperts: the chosen experts of up to kMaxDecodeRows tokens, two matrix-vector launches.
#include <algorithm>

#include "kernels/cuda/experts_common.cuh"

namespace qnext::cuda {
namespace {

constexpr int kHiddenWarps = 16;  // of a block of the first launch, at most
constexpr int kDownWarps = 12;    // of the second, at most
constexpr int kHiddenTiles = 4;   // two of gate and two of up: a run of 32 hidden values
constexpr int kStages = Int4Format::kStages;

// One activation row in shared memory.
struct RowShared {
  // The last quad may reach past the last run.
  __host__ __device__ static int PaddedRuns(int runs) { return (runs + kQuadRuns - 1) / kQuadRuns * kQuadRuns; }
  __host__ __device__ static int ScalesOffset(int runs) { return PaddedRuns(runs) * kRunInputs; }
  __host__ __device__ static int SumsOffset(int runs) { return ScalesOffset(runs) + PaddedRuns(runs) * 4; }
  __host__ __device__ static int Bytes(int runs) { return SumsOffset(runs) + PaddedRuns(runs) * 4; }
};

// Starts the copies of `thread` of `threads`. Runs past the end have scale 0. Commits nothing.
template <bool kZeros>
__device__ inline void CopyRow(const QuantizedInputs& x, int64_t row, int runs, uint8_t* shared, int thread,
                               int threads) {
  const uint8_t* codes = x.codes + row * runs * kRunInputs;
  for (int v = thread; v < runs * kRunInputs / 16; v += threads) CopyAsync16(shared + v * 16, codes + v * 16, true);
  for (int run = thread; run < RowShared::PaddedRuns(runs); run += threads) {
    const int64_t from = row * runs + min(run, runs - 1);
    CopyAsync4(shared + RowShared::ScalesOffset(runs) + run * 4, x.scales + from, run < runs);
    if constexpr (kZeros) CopyAsync4(shared + RowShared::SumsOffset(runs) + run * 4, x.sums + from, run < runs);
  }
}

__device__ inline InputView<1> ViewRow(const uint8_t* shared, int runs) {
  return {shared, reinterpret_cast<const float*>(shared + RowShared::ScalesOffset(runs)),
          reinterpret_cast<const int32_t*>(shared + RowShared::SumsOffset(runs))};
}

// A warp's product of one slice. The first quads are asked for when it is made, so that whatever else the product needs
// can be asked for (as an earlier group of copies) and waited for meanwhile.
template <typename Quad, bool kZeros>
class SliceProduct {
 public:
  __device__ SliceProduct(const TilePlanes& tile, const TileShape& shape, int begin, int end, uint8_t* stages, int lane)
      : source_(QuadSource::Of<Int4Format>(tile, shape, begin, lane)),
        begin_(begin),
        end_(end),
        bf16_(shape.bf16_scales),
        stages_(stages),
        lane_(lane) {
    for (int s = 0; s < kStages; ++s) CopyNext(s);
  }

  // Groups of copies from the constructor that may be under way: a wait for all earlier ones.
  static constexpr int kGroups = kStages;

  __device__ LaneSums<1> Run(const InputView<1>& x) {
    LaneSums<1> acc;
    int stage = 0;
    for (int run = begin_; run < end_; run += kQuadRuns) {
      WaitForCopies<kStages - 1>();
      __syncwarp();  // every lane's copies are there
      MultiplyQuad<Quad, kZeros>(stages_ + stage * Quad::kBytes, bf16_, x, run, lane_, acc);
      __syncwarp();  // every lane is done with the stage
      CopyNext(stage);
      stage = stage + 1 == kStages ? 0 : stage + 1;
    }
    return acc;
  }

 private:
  __device__ void CopyNext(int stage) {
    if (source_.run < end_) Quad::CopyNext(stages_ + stage * Quad::kBytes, source_, static_cast<unsigned>(lane_));
    CommitCopies();
  }

  QuadSource source_;
  int begin_, end_;
  bool bf16_;
  uint8_t* stages_;
  int lane_;
};

// Shared memory of the first launch: stages, the slices' sums of kHiddenTiles tiles, one or two activation rows.
template <typename Quad>
struct HiddenShared {
  __host__ __device__ static int SumsOffset(int warps) { return warps * kStages * Quad::kBytes; }
  __host__ __device__ static int RowOffset(int warps, int slices) {
    return SumsOffset(warps) + kHiddenTiles * slices * kTileRows * 4;
  }
  static int64_t Bytes(int warps, int slices, int runs, bool two_inputs) {
    return RowOffset(warps, slices) + (two_inputs ? 2 : 1) * RowShared::Bytes(runs);
  }
};

// Block (run of 32 hidden values, pair) of (32, slices, 4 or fewer) threads: silu(gate · x) * (up · x), quantized. The
// four tiles are gate's two, then up's.
template <bool kOneGroup, bool kZeros>
__global__ void __launch_bounds__(kHiddenWarps* kWarp) ExpertsHidden(const __grid_constant__ ExpertsView args) {
  using Quad = TileQuad<Int4Format, kOneGroup, kZeros>;
  using Shared = HiddenShared<Quad>;
  const int pair = static_cast<int>(blockIdx.y), hidden_run = static_cast<int>(blockIdx.x);
  const int slot = args.entry_slots[pair];  // on its way while the activations are asked for
  uint8_t* shared = SharedMemory();
  const TileShape& shape = args.gate_shape;
  const int slices = static_cast<int>(blockDim.y), slice = static_cast<int>(threadIdx.y);
  const int warps = slices * static_cast<int>(blockDim.z);
  const int warp = static_cast<int>(threadIdx.z) * slices + slice, lane = static_cast<int>(threadIdx.x);
  const int g = lane >> 2, t = lane & 3;
  uint8_t* stages = shared + warp * kStages * Quad::kBytes;
  float* sums = reinterpret_cast<float*>(shared + Shared::SumsOffset(warps));
  uint8_t* row = shared + Shared::RowOffset(warps, slices);
  const bool two_inputs = args.x_up.codes != args.x.codes;

  CopyRow<kZeros>(args.x, args.InputRow(pair), shape.runs, row, warp * kWarp + lane, warps * kWarp);
  if (two_inputs) {
    CopyRow<kZeros>(args.x_up, args.InputRow(pair), shape.runs, row + RowShared::Bytes(shape.runs), warp * kWarp + lane,
                    warps * kWarp);
  }
  CommitCopies();
  if (slot < 0) {
    WaitForCopies<0>();
    return;
  }
  for (int quarter = static_cast<int>(threadIdx.z); quarter < kHiddenTiles; quarter += static_cast<int>(blockDim.z)) {
    const int tile = 2 * hidden_run + quarter % 2;
    const bool up = quarter >= 2, inside = tile < shape.tiles;
    const TilePlanes planes = (up ? args.Up(slot) : args.Gate(slot)).Tile<Int4Format>(shape, inside ? tile : 0);
    const int begin = slice * shape.slice_runs;
    SliceProduct<Quad, kZeros> product(planes, shape, begin, inside ? min(begin + shape.slice_runs, shape.runs) : begin,
                                       stages, lane);
    if (quarter == static_cast<int>(threadIdx.z)) {
      WaitForCopies<product.kGroups>();
      __syncthreads();  // every thread comes here once
    }
    const LaneSums<1> acc =
        product.Run(ViewRow(row + (up && two_inputs ? RowShared::Bytes(shape.runs) : 0), shape.runs));
    if (t == 0) {
      float* own = sums + (quarter * slices + slice) * kTileRows;
      own[2 * g] = acc.v[0], own[2 * g + 1] = acc.v[1];
    }
  }
  __syncthreads();
  if (warp != 0) return;

  const auto total = [&](int quarter) {
    const float* from = sums + quarter * slices * kTileRows + lane % kTileRows;
    float sum = from[0];
    for (int s = 1; s < slices; ++s) sum += from[s * kTileRows];
    return sum * Int4Format::kOutputScale;
  };
  const int index = hidden_run * kRunInputs + lane;
  const float gate = total(lane / kTileRows), up = total(2 + lane / kTileRows);
  const float h = index < shape.out ? Silu(gate) * up : 0.0f;
  const int64_t at = static_cast<int64_t>(pair) * args.down_shape.runs + hidden_run;
  QuantizeRun(h, args.hidden.codes + at * kRunInputs, args.hidden.scales + at, args.hidden.sums + at, lane);
}

// Shared memory of the second launch: stages, an activation row for each warp, the entries' sums.
template <typename Quad>
struct DownShared {
  __host__ __device__ static int RowsOffset(int warps) { return warps * kStages * Quad::kBytes; }
  __host__ __device__ static int SumsOffset(int warps, int runs) {
    return RowsOffset(warps) + warps * RowShared::Bytes(runs);
  }
  static int64_t Bytes(int warps, int entries, int runs) {
    return SumsOffset(warps, runs) + int64_t{entries} * kTileRows * 4;
  }
};

// Block (tile of down, token): each warp one entry's product (its slices one after the other), then their weighted sum
// in order of the entries.
template <bool kOneGroup, bool kZeros>
__global__ void __launch_bounds__(kDownWarps* kWarp) ExpertsDown(const __grid_constant__ ExpertsView args) {
  using Quad = TileQuad<Int4Format, kOneGroup, kZeros>;
  using Shared = DownShared<Quad>;
  uint8_t* shared = SharedMemory();
  const TileShape& shape = args.down_shape;
  const int tile = static_cast<int>(blockIdx.x), token = static_cast<int>(blockIdx.y);
  const int warps = static_cast<int>(blockDim.y), warp = static_cast<int>(threadIdx.y);
  const int lane = static_cast<int>(threadIdx.x), g = lane >> 2, t = lane & 3;
  uint8_t* stages = shared + warp * kStages * Quad::kBytes;
  uint8_t* row = shared + Shared::RowsOffset(warps) + warp * RowShared::Bytes(shape.runs);
  float* sums = reinterpret_cast<float*>(shared + Shared::SumsOffset(warps, shape.runs));

  for (int entry = warp; entry < args.entries; entry += warps) {
    const int pair = token * args.entries + entry;
    const int slot = args.entry_slots[pair];
    if (slot < 0) continue;
    __syncwarp();  // all lanes are done with the previous entry's row
    CopyRow<kZeros>(args.Hidden(), pair, shape.runs, row, lane, kWarp);
    CommitCopies();
    const TilePlanes planes = args.Down(slot).Tile<Int4Format>(shape, tile);
    float total[2] = {};
    for (int slice = 0; slice < shape.slices; ++slice) {
      const int begin = slice * shape.slice_runs;
      SliceProduct<Quad, kZeros> product(planes, shape, begin, min(begin + shape.slice_runs, shape.runs), stages, lane);
      WaitForCopies<product.kGroups>();
      __syncwarp();
      const LaneSums<1> acc = product.Run(ViewRow(row, shape.runs));
      for (int r = 0; r < 2; ++r) total[r] = slice == 0 ? acc.v[r] : total[r] + acc.v[r];
    }
    if (t == 0) {
      float* own = sums + entry * kTileRows;
      own[2 * g] = total[0] * Int4Format::kOutputScale, own[2 * g + 1] = total[1] * Int4Format::kOutputScale;
    }
  }
  __syncthreads();
  const int output = tile * kTileRows + lane;
  if (warp != 0 || lane >= kTileRows || output >= shape.out) return;
  args.out[static_cast<int64_t>(token) * shape.out + output] =
      SumEntries(args, token, [&](int entry) { return sums[entry * kTileRows + lane]; });
}

template <bool kOneGroup, bool kZeros>
Status LaunchHidden(const ExpertsView& view, Stream stream) {
  using Shared = HiddenShared<TileQuad<Int4Format, kOneGroup, kZeros>>;
  const TileShape& shape = view.gate_shape;
  const bool two_inputs = view.x_up.codes != view.x.codes;
  int tiles_at_once = kHiddenTiles;
  while (tiles_at_once > 1 &&
         (shape.slices * tiles_at_once > kHiddenWarps ||
          Shared::Bytes(shape.slices * tiles_at_once, shape.slices, shape.runs, two_inputs) > kMostSharedBytes)) {
    tiles_at_once /= 2;
  }
  const int64_t shared = Shared::Bytes(shape.slices * tiles_at_once, shape.slices, shape.runs, two_inputs);
  if (shared > kMostSharedBytes) return Unsupported("experts_hidden: a row has too many inputs");
  return LaunchKernel("experts_hidden", ExpertsHidden<kOneGroup, kZeros>,
                      {.blocks_x = view.down_shape.runs,
                       .blocks_y = int64_t{view.m} * view.entries,
                       .threads_x = kWarp,
                       .threads_y = shape.slices,
                       .threads_z = tiles_at_once,
                       .shared_bytes = shared},
                      stream, view);
}

template <bool kOneGroup, bool kZeros>
Status LaunchDown(const ExpertsView& view, Stream stream) {
  using Shared = DownShared<TileQuad<Int4Format, kOneGroup, kZeros>>;
  int warps = std::min<int>(kDownWarps, view.entries);
  while (warps > 1 && Shared::Bytes(warps, view.entries, view.down_shape.runs) > kMostSharedBytes) --warps;
  const int64_t shared = Shared::Bytes(warps, view.entries, view.down_shape.runs);
  if (shared > kMostSharedBytes) return Unsupported("experts_down: a row has too many inputs or entries");
  return LaunchKernel("experts_down", ExpertsDown<kOneGroup, kZeros>,
                      {.blocks_x = view.down_shape.tiles,
                       .blocks_y = view.m,
                       .threads_x = kWarp,
                       .threads_y = warps,
                       .shared_bytes = shared},
                      stream, view);
}

}  // namespace

Status LaunchExperts(const ExpertsArgs& args, Stream stream) {
  if (args.m > kMaxDecodeRows) return InvalidArgument("experts: more rows go through LaunchExpertsGrouped");
  const Result<ExpertsView> made = MakeExpertsView(args);
  if (!made.ok()) return made.status().WithContext("experts");
  const ExpertsView& view = made.value();
  const bool gate_zeros = args.slots.gate_up.has_zeros, down_zeros = args.slots.down.has_zeros;
  if (ScalesServeQuads(view.gate_shape)) {
    QNEXT_RETURN_IF_ERROR(
        (gate_zeros ? LaunchHidden<true, true>(view, stream) : LaunchHidden<true, false>(view, stream)));
  } else {
    QNEXT_RETURN_IF_ERROR(
        (gate_zeros ? LaunchHidden<false, true>(view, stream) : LaunchHidden<false, false>(view, stream)));
  }
  if (ScalesServeQuads(view.down_shape)) {
    return down_zeros ? LaunchDown<true, true>(view, stream) : LaunchDown<true, false>(view, stream);
  }
  return down_zeros ? LaunchDown<false, true>(view, stream) : LaunchDown<false, false>(view, stream);
}

}  // namespace qnext::cuda
