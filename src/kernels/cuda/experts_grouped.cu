// LaunchExpertsGrouped: pairs (row, entry) sorted by slot, then each expert's weights times all its rows. The bits are
// those of LaunchExperts: the products add in the same order, and entries are summed in theirs.
//
//   1. count_pairs    how many pairs each slot has, as ends of the slots' stretches of the sorted pairs
//   2. place_pairs    the sorted pairs, stable
//   3. experts_hidden silu(gate · x) * (up · x) of each pair, quantized
//   4. experts_down   down · hidden of each pair
//   5. combine        the weighted sums of each row's entries
#include <algorithm>

#include "kernels/cuda/experts_common.cuh"
#include "kernels/cuda/quantized_gemm.cuh"

namespace qnext::cuda {
namespace {

constexpr int kCountThreads = 1024;
constexpr int kPlaceWarps = 4;
constexpr int kCombineThreads = 256;
constexpr int kMostBuckets = 8192;

// A bucket for each slot of the layer, then one for the shared expert's.
struct Buckets {
  int32_t slots_begin, slots_count, shared_slot;
  const int32_t* slots = nullptr;  // [count()] where buckets are; -1: not now. Null: buckets are slots

  __host__ __device__ int count() const { return slots_count + 1; }
  // -1: not a slot of this layer.
  __device__ int Of(int slot) const {
    if (slot < 0) return -1;
    if (slot == shared_slot) return slots_count;
    return slot >= slots_begin && slot < slots_begin + slots_count ? slot - slots_begin : -1;
  }
  // -1: none now.
  __device__ int SlotOf(int bucket) const {
    if (slots != nullptr) return slots[bucket];
    return bucket == slots_count ? shared_slot : slots_begin + bucket;
  }
};

// One warp turns counts into ends (inclusive sums), in place.
__device__ inline void SumUp(int32_t* values, int n, int lane) {
  int before = 0;
  for (int base = 0; base < n; base += kWarp) {
    int sum = base + lane < n ? values[base + lane] : 0;
#pragma unroll
    for (int step = 1; step < kWarp; step *= 2) {
      const int other = __shfl_up_sync(kAllLanes, sum, step);
      if (lane >= step) sum += other;
    }
    if (base + lane < n) values[base + lane] = before + sum;
    before += __shfl_sync(kAllLanes, sum, kWarp - 1);
  }
}

// One block. ends: [buckets].
__global__ void __launch_bounds__(kCountThreads)
    CountPairs(const int32_t* entry_slots, int pairs, Buckets buckets, int32_t* ends) {
  int32_t* counts = reinterpret_cast<int32_t*>(SharedMemory());
  const int thread = static_cast<int>(threadIdx.x);
  for (int b = thread; b < buckets.count(); b += kCountThreads) counts[b] = 0;
  __syncthreads();
#pragma unroll 4
  for (int pair = thread; pair < pairs; pair += kCountThreads) {
    const int bucket = buckets.Of(entry_slots[pair]);
    if (bucket >= 0) atomicAdd(&counts[bucket], 1);
  }
  __syncthreads();
  if (thread < kWarp) SumUp(counts, buckets.count(), thread);
  __syncthreads();
  for (int b = thread; b < buckets.count(); b += kCountThreads) ends[b] = counts[b];
}

// A warp for each bucket looks through all pairs in order.
__global__ void __launch_bounds__(kPlaceWarps* kWarp)
    PlacePairs(const int32_t* entry_slots, int pairs, Buckets buckets, const int32_t* ends, int32_t* pair_rows) {
  constexpr int kAhead = 4;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int bucket = static_cast<int>(blockIdx.x) * kPlaceWarps + static_cast<int>(threadIdx.x) / kWarp;
  if (bucket >= buckets.count()) return;
  int at = bucket == 0 ? 0 : ends[bucket - 1];
  const int end = ends[bucket];
  for (int base = 0; base < pairs && at < end; base += kAhead * kWarp) {
    int slots[kAhead];
#pragma unroll
    for (int k = 0; k < kAhead; ++k) {
      const int pair = base + k * kWarp + lane;
      slots[k] = pair < pairs ? entry_slots[pair] : -1;
    }
#pragma unroll
    for (int k = 0; k < kAhead; ++k) {
      const bool mine = buckets.Of(slots[k]) == bucket;
      const unsigned all = __ballot_sync(kAllLanes, mine);
      if (mine) pair_rows[at + __popc(all & ((1u << lane) - 1))] = base + k * kWarp + lane;
      at += __popc(all);
    }
  }
}

struct GroupedArgs {
  ExpertsView experts;
  Buckets buckets;
  const int32_t* ends;       // [buckets]
  const int32_t* pair_rows;  // pairs in order of their buckets
  float* pair_out;           // [pairs, D]
};

// What a block of the products finds in shared memory beside the products' own: ends of the buckets' pairs, and ends of
// their column tiles (kGemmColumns pairs or fewer).
struct GroupedTables {
  int32_t* pair_ends;
  int32_t* tile_ends;
  int buckets;

  __device__ GroupedTables(const GroupedArgs& args, uint8_t* shared)
      : pair_ends(reinterpret_cast<int32_t*>(shared)),
        tile_ends(pair_ends + args.buckets.count()),
        buckets(args.buckets.count()) {
    const int thread = static_cast<int>(threadIdx.x);
    for (int b = thread; b < buckets; b += kGemmThreads) {
      const int begin = b == 0 ? 0 : args.ends[b - 1];
      pair_ends[b] = args.ends[b];
      tile_ends[b] = (args.ends[b] - begin + kGemmColumns - 1) / kGemmColumns;
    }
    __syncthreads();
    if (thread < kWarp) SumUp(tile_ends, buckets, thread);
    __syncthreads();
  }
  static int64_t Bytes(const Buckets& buckets) { return int64_t{buckets.count()} * 2 * 4; }

  __device__ int column_tiles() const { return tile_ends[buckets - 1]; }
  // The bucket of a column tile: the first whose end is beyond it.
  __device__ int Find(int column_tile) const {
    int low = 0, high = buckets - 1;
    while (low < high) {
      const int middle = (low + high) / 2;
      if (tile_ends[middle] > column_tile) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    return low;
  }
  // pairs[c] = the tile's pair of column c, or -1.
  __device__ void PairsOf(const GroupedArgs& args, int bucket, int column_tile, int32_t* pairs) const {
    const int first_tile = bucket == 0 ? 0 : tile_ends[bucket - 1],
              first_pair = bucket == 0 ? 0 : pair_ends[bucket - 1];
    const int at = first_pair + (column_tile - first_tile) * kGemmColumns + static_cast<int>(threadIdx.x);
    if (threadIdx.x < kGemmColumns) pairs[threadIdx.x] = at < pair_ends[bucket] ? args.pair_rows[at] : -1;
  }
};

// A block's items: (column tile, run of 32 hidden values), the run fastest.
template <bool kOneGroup, bool kZeros>
__global__ void __launch_bounds__(kGemmThreads, 2) GroupedHidden(const __grid_constant__ GroupedArgs args) {
  using Quad = TileQuad<Int4Format, kOneGroup, kZeros>;
  __shared__ int32_t pairs[kGemmColumns], rows[kGemmColumns];
  uint8_t* shared = SharedMemory();
  const GroupedTables tables(args, shared + GemmShared<Quad, true>::kBytes);
  const ExpertsView& experts = args.experts;
  const TileShape& shape = experts.gate_shape;
  const int thread = static_cast<int>(threadIdx.x), warp = thread / kWarp, lane = thread % kWarp;
  const int g = lane >> 2, t = lane & 3;
  const int hidden_runs = experts.down_shape.runs;
  const int items = tables.column_tiles() * hidden_runs;
  for (int item = static_cast<int>(blockIdx.x); item < items; item += static_cast<int>(gridDim.x)) {
    const int column_tile = item / hidden_runs, hidden_run = item % hidden_runs;
    const int bucket = tables.Find(column_tile), slot = args.buckets.SlotOf(bucket);
    if (slot < 0) continue;  // all threads alike
    tables.PairsOf(args, bucket, column_tile, pairs);
    if (thread < kGemmColumns) {
      rows[thread] = pairs[thread] < 0 ? -1 : static_cast<int32_t>(experts.InputRow(pairs[thread]));
    }
    __syncthreads();
    const int tile = 2 * hidden_run + warp % 2;
    const bool inside = tile < shape.tiles;
    GemmSums total;
    MultiplyTiles<Quad, kZeros, true>(
        (warp < 2 ? experts.Gate(slot) : experts.Up(slot)).Tile<Int4Format>(shape, inside ? tile : 0), inside, shape,
        experts.x, experts.x_up, rows, shared, total);
#pragma unroll
    for (int b = 0; b < kGemmWarpBlocks; ++b) {
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        float h[2][2], maximum = 0;
#pragma unroll
        for (int k = 0; k < 2; ++k) {
#pragma unroll
          for (int r = 0; r < 2; ++r) {
            const int index = hidden_run * kRunInputs + k * kTileRows + 2 * g + r;
            const float gate = total.v[k][b].v[2 * r + j] * Int4Format::kOutputScale;
            const float up = total.v[2 + k][b].v[2 * r + j] * Int4Format::kOutputScale;
            h[k][r] = index < shape.out ? Silu(gate) * up : 0.0f;
            maximum = fmaxf(maximum, fabsf(h[k][r]));
          }
        }
        // The lanes of one column differ in g.
#pragma unroll
        for (int step = 4; step < kWarp; step *= 2) maximum = fmaxf(maximum, __shfl_xor_sync(kAllLanes, maximum, step));
        const float scale = RunScale(maximum);
        int codes[2][2], sum = 0;
#pragma unroll
        for (int k = 0; k < 2; ++k) {
#pragma unroll
          for (int r = 0; r < 2; ++r) sum += codes[k][r] = RunCode(h[k][r], scale);
        }
#pragma unroll
        for (int step = 4; step < kWarp; step *= 2) sum += __shfl_xor_sync(kAllLanes, sum, step);
        const int pair = pairs[warp * kGemmWarpColumns + b * kMmaColumns + 2 * t + j];
        if (pair < 0) continue;
        const int64_t at = static_cast<int64_t>(pair) * hidden_runs + hidden_run;
#pragma unroll
        for (int k = 0; k < 2; ++k) {
          *reinterpret_cast<char2*>(experts.hidden.codes + at * kRunInputs + k * kTileRows + 2 * g) =
              make_char2(static_cast<signed char>(codes[k][0]), static_cast<signed char>(codes[k][1]));
        }
        if (g == 0) experts.hidden.scales[at] = scale, experts.hidden.sums[at] = sum;
      }
    }
    __syncthreads();  // all threads are done with pairs
  }
}

// A block's items: (column tile, four tiles of down), the tiles fastest.
template <bool kOneGroup, bool kZeros>
__global__ void __launch_bounds__(kGemmThreads, 3) GroupedDown(const __grid_constant__ GroupedArgs args) {
  using Quad = TileQuad<Int4Format, kOneGroup, kZeros>;
  __shared__ int32_t pairs[kGemmColumns];
  uint8_t* shared = SharedMemory();
  const GroupedTables tables(args, shared + GemmShared<Quad, false>::kBytes);
  const ExpertsView& experts = args.experts;
  const TileShape& shape = experts.down_shape;
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int g = lane >> 2, t = lane & 3;
  const int tile_groups = (shape.tiles + kGemmTiles - 1) / kGemmTiles;
  const int items = tables.column_tiles() * tile_groups;
  for (int item = static_cast<int>(blockIdx.x); item < items; item += static_cast<int>(gridDim.x)) {
    const int column_tile = item / tile_groups, first_tile = item % tile_groups * kGemmTiles;
    const int bucket = tables.Find(column_tile), slot = args.buckets.SlotOf(bucket);
    if (slot < 0) continue;  // all threads alike
    tables.PairsOf(args, bucket, column_tile, pairs);
    __syncthreads();
    const int tile = first_tile + warp;
    const bool inside = tile < shape.tiles;
    GemmSums total;
    MultiplyTiles<Quad, kZeros, false>(experts.Down(slot).Tile<Int4Format>(shape, inside ? tile : 0), inside, shape,
                                       experts.Hidden(), experts.Hidden(), pairs, shared, total);
#pragma unroll
    for (int k = 0; k < kGemmTiles; ++k) {
#pragma unroll
      for (int b = 0; b < kGemmWarpBlocks; ++b) {
#pragma unroll
        for (int j = 0; j < 2; ++j) {
          const int pair = pairs[warp * kGemmWarpColumns + b * kMmaColumns + 2 * t + j];
          const int output = (first_tile + k) * kTileRows + 2 * g;
          if (pair < 0) continue;
          float* y = args.pair_out + static_cast<int64_t>(pair) * shape.out;
          if (output < shape.out) y[output] = total.v[k][b].v[j] * Int4Format::kOutputScale;
          if (output + 1 < shape.out) y[output + 1] = total.v[k][b].v[2 + j] * Int4Format::kOutputScale;
        }
      }
    }
    __syncthreads();  // all threads are done with pairs
  }
}

__global__ void __launch_bounds__(kCombineThreads) Combine(const __grid_constant__ GroupedArgs args) {
  const ExpertsView& experts = args.experts;
  const int out = experts.down_shape.out, blocks = (out + kCombineThreads - 1) / kCombineThreads;
  const int token = static_cast<int>(blockIdx.x) / blocks;
  const int output = static_cast<int>(blockIdx.x) % blocks * kCombineThreads + static_cast<int>(threadIdx.x);
  if (output >= out) return;
  const float* from = args.pair_out + static_cast<int64_t>(token) * experts.entries * out + output;
  experts.out[static_cast<int64_t>(token) * out + output] =
      SumEntries(experts, token, [&](int entry) { return from[static_cast<int64_t>(entry) * out]; });
}

template <typename Kernel>
Status LaunchGrouped(const char* name, Kernel kernel, int64_t shared, int64_t most_items, const GroupedArgs& args,
                     Stream stream) {
  if (shared > kMostSharedBytes) return Unsupported(std::string(name) + ": too many slots");
  QNEXT_ASSIGN_OR_RETURN(const int64_t resident, ResidentBlocks(name, kernel, kGemmThreads, shared));
  return LaunchKernel(name, kernel,
                      {.blocks_x = std::min(most_items, resident), .threads_x = kGemmThreads, .shared_bytes = shared},
                      stream, args);
}

template <bool kOneGroup, bool kZeros>
Status LaunchGroupedHidden(const GroupedArgs& args, int64_t column_tiles, Stream stream) {
  using Shared = GemmShared<TileQuad<Int4Format, kOneGroup, kZeros>, true>;
  return LaunchGrouped("experts_grouped_hidden", GroupedHidden<kOneGroup, kZeros>,
                       Shared::kBytes + GroupedTables::Bytes(args.buckets), column_tiles * args.experts.down_shape.runs,
                       args, stream);
}

template <bool kOneGroup, bool kZeros>
Status LaunchGroupedDown(const GroupedArgs& args, int64_t column_tiles, Stream stream) {
  using Shared = GemmShared<TileQuad<Int4Format, kOneGroup, kZeros>, false>;
  return LaunchGrouped("experts_grouped_down", GroupedDown<kOneGroup, kZeros>,
                       Shared::kBytes + GroupedTables::Bytes(args.buckets),
                       column_tiles * CeilDiv(args.experts.down_shape.tiles, kGemmTiles), args, stream);
}

constexpr char kName[] = "experts_grouped";

Result<GroupedArgs> MakeGroupedArgs(const ExpertsArgs& args, const ExpertGroupsScratch& scratch) {
  const Result<ExpertsView> view = MakeExpertsView(args);
  if (!view.ok()) return view.status().WithContext(kName);
  if (scratch.slots_count < 0 || scratch.slots_count + 1 > kMostBuckets || scratch.slots_begin < 0 ||
      scratch.slots_begin + scratch.slots_count > (int64_t{1} << 30)) {
    return InvalidArgument("experts_grouped: too many slots");
  }
  return GroupedArgs{.experts = view.value(),
                     .buckets = {.slots_begin = static_cast<int32_t>(scratch.slots_begin),
                                 .slots_count = static_cast<int32_t>(scratch.slots_count),
                                 .shared_slot = scratch.shared_slot},
                     .ends = scratch.counts,
                     .pair_rows = scratch.pair_rows,
                     .pair_out = scratch.pair_out};
}

Status LaunchParts(const ExpertsArgs& args, const GroupedArgs& grouped, Stream stream) {
  // Full tiles, and one that is not full for each bucket that has any.
  const int pairs = static_cast<int>(args.m * args.entries);
  const int64_t column_tiles = pairs / kGemmColumns + std::min(pairs, grouped.buckets.count());
  if (column_tiles * std::max(grouped.experts.down_shape.runs, grouped.experts.down_shape.tiles) > INT32_MAX) {
    return Unsupported("experts_grouped: too many rows");
  }
  const bool gate_zeros = args.slots.gate_up.has_zeros, down_zeros = args.slots.down.has_zeros;
  if (ScalesServeQuads(grouped.experts.gate_shape)) {
    QNEXT_RETURN_IF_ERROR((gate_zeros ? LaunchGroupedHidden<true, true>(grouped, column_tiles, stream)
                                      : LaunchGroupedHidden<true, false>(grouped, column_tiles, stream)));
  } else {
    QNEXT_RETURN_IF_ERROR((gate_zeros ? LaunchGroupedHidden<false, true>(grouped, column_tiles, stream)
                                      : LaunchGroupedHidden<false, false>(grouped, column_tiles, stream)));
  }
  if (ScalesServeQuads(grouped.experts.down_shape)) {
    return down_zeros ? LaunchGroupedDown<true, true>(grouped, column_tiles, stream)
                      : LaunchGroupedDown<true, false>(grouped, column_tiles, stream);
  }
  return down_zeros ? LaunchGroupedDown<false, true>(grouped, column_tiles, stream)
                    : LaunchGroupedDown<false, false>(grouped, column_tiles, stream);
}

}  // namespace

Status LaunchExpertsGroups(const ExpertsArgs& args, const ExpertGroupsScratch& scratch, Stream stream) {
  QNEXT_ASSIGN_OR_RETURN(const GroupedArgs grouped, MakeGroupedArgs(args, scratch));
  const Buckets& buckets = grouped.buckets;
  const int pairs = static_cast<int>(args.m * args.entries);
  QNEXT_RETURN_IF_ERROR(LaunchKernel("experts_count_pairs", CountPairs,
                                     {.threads_x = kCountThreads, .shared_bytes = int64_t{buckets.count()} * 4}, stream,
                                     args.entry_slots, pairs, buckets, scratch.counts));
  return LaunchKernel("experts_place_pairs", PlacePairs,
                      {.blocks_x = CeilDiv(buckets.count(), kPlaceWarps), .threads_x = kPlaceWarps * kWarp}, stream,
                      args.entry_slots, pairs, buckets, static_cast<const int32_t*>(scratch.counts), scratch.pair_rows);
}

Status LaunchExpertsGroupedPart(const ExpertsArgs& args, const ExpertGroupsScratch& scratch, const int32_t* slots,
                                Stream stream) {
  QNEXT_ASSIGN_OR_RETURN(GroupedArgs grouped, MakeGroupedArgs(args, scratch));
  grouped.buckets.slots = slots;
  return LaunchParts(args, grouped, stream);
}

Status LaunchExpertsCombine(const ExpertsArgs& args, const ExpertGroupsScratch& scratch, Stream stream) {
  QNEXT_ASSIGN_OR_RETURN(const GroupedArgs grouped, MakeGroupedArgs(args, scratch));
  return LaunchKernel(
      "experts_combine", Combine,
      {.blocks_x = args.m * CeilDiv(grouped.experts.down_shape.out, kCombineThreads), .threads_x = kCombineThreads},
      stream, grouped);
}

Status LaunchExpertsGrouped(const ExpertsArgs& args, const ExpertGroupsScratch& scratch, Stream stream) {
  QNEXT_ASSIGN_OR_RETURN(const GroupedArgs grouped, MakeGroupedArgs(args, scratch));
  QNEXT_RETURN_IF_ERROR(LaunchExpertsGroups(args, scratch, stream));
  QNEXT_RETURN_IF_ERROR(LaunchParts(args, grouped, stream));
  return LaunchExpertsCombine(args, scratch, stream);
}

}  // namespace qnext::cuda
