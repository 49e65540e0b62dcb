// Gated attention over the paged cache: each block takes one split of one row's positions, for up to eight query heads
// of one KV head, so that K and V are read once for all of them.
//
// The block's eight warps take tiles of 16 positions in turn and never wait for each other: a warp streams its tiles'
// slices through a ring of its own in shared memory (cp.async, kStages slices of 2 KiB under way), multiplies them on
// the matrix units as exact sums of 16-bit parts (attention_formats.cuh), and keeps its own running maximum, sum and
// values. What the units add up inside one product is short (four steps of 16 dims, or 16 positions); all longer sums
// are plain float32 additions. At the end the warps' parts become the split's.
#include <cmath>

#include "hw/cuda/cuda_status.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_formats.cuh"
#include "kernels/cuda/attention_parts.cuh"
#include "kernels/cuda/kv_page_shape.h"

namespace qnext::cuda {
namespace attention {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = kWarps * 32;
constexpr int kStages = 4;
constexpr int kHeads = 8;       // query heads of a block: half the rows of a fragment
constexpr int kScaleTiles = 4;  // tiles whose int8 scales are kept: kStages slices reach no further
constexpr unsigned kAllLanes = 0xffffffffu;

__device__ inline float Infinity() { return __int_as_float(0x7f800000); }

// Shared memory: the warps' rings, the query as left operands, int8 scales.
template <typename Format, int kSlices>
struct Shared {
  static constexpr int kSliceDims = kSliceRowBytes / Format::kElementBytes;
  static constexpr int kSteps = kSliceDims / 16;  // of a slice of keys
  static constexpr int kTiles = kSliceDims / 8;   // of a slice of values
  static constexpr int kDims = kSlices * kSliceDims;
  static constexpr int kRingBytes = kStages * kSliceBytes;  // of a warp
  static constexpr int kQueryOffset = kWarps * kRingBytes;
  static constexpr int kRestOffset = kQueryOffset + kSlices * kSteps * 32 * 16;
  static constexpr int kScalesOffset = kRestOffset + (Format::kF16 ? 0 : kSlices * kSteps * 32 * 8);
  static constexpr int kBytes = kScalesOffset + (Format::kRowScales ? kWarps * kScaleTiles * 32 * 4 : 0);
  // A warp's values [kHeads, kDims] end up in its ring.
  static_assert(kHeads * kDims * 4 <= kRingBytes);
};

// A warp's tiles as a stream of slices: of each tile the slices of its keys, then those of its values.
template <typename Format, int kSlices>
class SliceStream {
 public:
  __device__ SliceStream(const std::byte* pool, const KvPageShape& page, const int32_t* table, int kv_head,
                         int position, Tiles tiles, int warp, int lane, uint8_t* shared)
      : pool_(pool),
        page_bytes_(page.page_bytes),
        table_(table),
        row_bytes_(page.row_bytes),
        keys_(kv_head * page.head_bytes),
        values_(page.values + keys_),
        scales_((lane < 16 ? page.key_scales : page.value_scales) + kv_head * static_cast<int>(kKvPageTokens) * 4),
        position_(position),
        last_(tiles.last),
        lane_(lane),
        ring_(SharedAddress(shared) + warp * Memory::kRingBytes),
        scale_ring_(SharedAddress(shared) + Memory::kScalesOffset + warp * kScaleTiles * 32 * 4),
        tile_(tiles.first + warp) {
    if (tile_ < last_) page_ = PageAt(table_[tile_ / kTilesOfPage]);
    LookAhead();
  }

  // The next slice of the ring into its slot. Always commits, so that groups can be counted.
  __device__ void Issue() {
    if (tile_ < last_) {
      const int row = lane_ >> 3, chunk = lane_ & 7;
      const bool is_key = part_ < kSlices;
      const int offset = (is_key ? part_ : part_ - kSlices) * kSliceRowBytes + chunk * 16;
      const std::byte* from =
          page_ + (is_key ? keys_ : values_) + offset + (tile_ % kTilesOfPage * kTilePositions + row) * row_bytes_;
      const uint32_t to = ring_ + issue_slot_ * kSliceBytes + row * kSliceRowBytes;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        // Beyond the row (a head dim that fills no slice) and beyond the query's position there are zeros instead.
        const bool inside = offset < row_bytes_ && tile_ * kTilePositions + row + 4 * i <= position_;
        CopyAsync(to + i * 4 * kSliceRowBytes + ((chunk ^ (row + 4 * (i & 1))) << 4),
                  inside ? from + i * 4 * row_bytes_ : page_, inside);
      }
      if (Format::kRowScales && part_ == 0) {
        const int of_row = lane_ & 15;
        const bool inside = tile_ * kTilePositions + of_row <= position_;
        CopyAsync4(scale_ring_ + (turn_ % kScaleTiles * 32 + lane_) * 4,
                   page_ + scales_ + (tile_ % kTilesOfPage * kTilePositions + of_row) * 4, inside);
      }
      Advance();
    }
    CommitCopies();
    issue_slot_ = (issue_slot_ + 1) % kStages;
  }

  // The oldest slice, when it has come.
  __device__ uint32_t Wait() {
    WaitForCopies<kStages - 1>();
    __syncwarp();
    return ring_ + slot_ * kSliceBytes;
  }
  // Its slot is free: every lane has loaded what it needs.
  __device__ void Release() {
    __syncwarp();
    slot_ = (slot_ + 1) % kStages;
    Issue();
  }

 private:
  using Memory = Shared<Format, kSlices>;

  __device__ const std::byte* PageAt(int32_t page) const { return pool_ + page * page_bytes_; }
  __device__ void LookAhead() {
    if (tile_ + kWarps < last_) next_page_ = table_[(tile_ + kWarps) / kTilesOfPage];
  }
  __device__ void Advance() {
    if (++part_ < 2 * kSlices) return;
    part_ = 0, ++turn_;
    tile_ += kWarps;
    if (tile_ < last_) page_ = PageAt(next_page_);
    LookAhead();
  }

  const std::byte* pool_;
  const int64_t page_bytes_;
  const int32_t* table_;
  const int row_bytes_, keys_, values_, scales_, position_, last_, lane_;
  const uint32_t ring_, scale_ring_;
  // Of the next slice to ask for.
  int tile_, part_ = 0, turn_ = 0, issue_slot_ = 0;
  const std::byte* page_ = nullptr;
  int32_t next_page_ = 0;
  int slot_ = 0;  // of the next slice to use
};

// Warp w makes head w of the block's queries into left operands; heads that are not there are zeros. Returns what
// scores of the head must be multiplied with: F16 parts are of the query times a power of two.
template <typename Format, int kSlices>
__device__ float StageQuery(const float* query, int head_dim, bool inside, float scale, int head, int lane,
                            uint8_t* shared) {
  using Memory = Shared<Format, kSlices>;
  constexpr int kQuads = (Memory::kDims / 4 + 31) / 32;  // of a lane
  float values[kQuads][4];
  float largest = 0;
#pragma unroll
  for (int j = 0; j < kQuads; ++j) {
    const int quad = j * 32 + lane;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int dim = quad / 4 * 16 + Format::StepDim(quad % 4, i);
      values[j][i] = inside && dim < head_dim ? query[dim] : 0.0f;
      largest = fmaxf(largest, fabsf(values[j][i]));
    }
  }
  float factor = scale;
  if (Format::kF16) {
#pragma unroll
    for (int step = 16; step > 0; step /= 2) largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, step));
    // The largest to [2^13, 2^14); not finite and zero stay.
    const int exponent = largest > 0 && largest < Infinity() ? min(13 - ilogbf(largest), 126) : 0;
    const float up = ldexpf(1.0f, exponent);
    factor = scale * ldexpf(1.0f, -exponent);
#pragma unroll
    for (int j = 0; j < kQuads; ++j) {
#pragma unroll
      for (float& value : values[j]) value *= up;
    }
  }
  uint4* main = reinterpret_cast<uint4*>(shared + Memory::kQueryOffset);
  uint2* rest = reinterpret_cast<uint2*>(shared + Memory::kRestOffset);
#pragma unroll
  for (int j = 0; j < kQuads; ++j) {
    const int quad = j * 32 + lane;
    if (quad >= Memory::kDims / 4) break;
    const Left left = Format::MakeLeft(values[j][0], values[j][1], values[j][2], values[j][3]);
    const int at = quad / 4 * 32 + head * 4 + quad % 4;  // [step][lane 4g + t]
    main[at] = left.main;
    if (!Format::kF16) rest[at] = left.rest;
  }
  return factor;
}

// Maximum or sum of a head's four lanes.
__device__ inline float QuadMax(float x) {
  x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, 1));
  return fmaxf(x, __shfl_xor_sync(kAllLanes, x, 2));
}
__device__ inline float QuadSum(float x) {
  x += __shfl_xor_sync(kAllLanes, x, 1);
  return x + __shfl_xor_sync(kAllLanes, x, 2);
}

// Where a warp's values lie in its ring, spread over the banks.
template <int kDims>
__device__ inline int ValueAt(int head, int dim) {
  return head * kDims + (dim ^ ((head & 3) << 3));
}

template <typename Format, int kSlices>
__global__ void __launch_bounds__(kThreads, 1)
    AttendSplit(const AttentionDecodeArgs args, const KvPageShape page, int first_row) {
  using Memory = Shared<Format, kSlices>;
  extern __shared__ __align__(128) uint8_t shared[];
  __shared__ float factors[kHeads];
  __shared__ float2 stats[kWarps][kHeads];  // maximum and sum

  const int split = blockIdx.x, row = first_row + blockIdx.z;
  const int position = args.positions[row];
  const int32_t* table = args.kv.page_table + args.slots[row] * args.kv.max_pages;
  const Tiles tiles = TilesOfSplit(position, split);
  if (tiles.first == tiles.last) return;

  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
  const int head_dim = static_cast<int>(args.kv.layout.head_dim);
  const int group = static_cast<int>(args.query_heads / args.kv.layout.kv_heads);  // query heads of a KV head
  const int parts = (group + kHeads - 1) / kHeads;                                 // blocks that share a KV head
  const int kv_head = blockIdx.y / parts, part = blockIdx.y % parts;
  const int head0 = kv_head * group + part * kHeads, heads = min(group - part * kHeads, kHeads);

  SliceStream<Format, kSlices> stream(args.kv.pool, page, table, kv_head, position, tiles, warp, lane, shared);
#pragma unroll
  for (int i = 0; i < kStages; ++i) stream.Issue();

  const float* query = args.query + (row * args.query_heads + head0 + warp) * head_dim;
  const float head_factor = StageQuery<Format, kSlices>(query, head_dim, warp < heads, args.scale, warp, lane, shared);
  if (lane == 0) factors[warp] = head_factor;
  __syncthreads();
  const float factor = factors[g];
  const uint4* lefts = reinterpret_cast<const uint4*>(shared + Memory::kQueryOffset) + lane;
  const uint2* rests = reinterpret_cast<const uint2*>(shared + Memory::kRestOffset) + lane;
  const float* scales = reinterpret_cast<const float*>(shared + Memory::kScalesOffset) + warp * kScaleTiles * 32;

  // Of head g, in all four of its lanes: the running maximum. Of each lane: its share of the sum, and its columns.
  float maximum = -Infinity(), sum = 0;
  float values[kSlices * Memory::kTiles][2] = {};

  for (int tile = tiles.first + warp, turn = 0; tile < tiles.last; tile += kWarps, ++turn) {
    // Scores of positions 8*half + 2t + i.
    float scores[2][2] = {};
#pragma unroll
    for (int slice = 0; slice < kSlices; ++slice) {
      Raw raw;
      Format::LoadKeys(stream.Wait(), lane, &raw);
      stream.Release();
      float sums[2][2][4] = {};  // of a half, in two chains
#pragma unroll
      for (int step = 0; step < Memory::kSteps; ++step) {
        const int at = (slice * Memory::kSteps + step) * 32;
        const Left left = {lefts[at], Format::kF16 ? make_uint2(0, 0) : rests[at]};
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          Format::Multiply(sums[half][step % 2], left, Format::Keys(raw, step, half));
        }
      }
#pragma unroll
      for (int half = 0; half < 2; ++half) {
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          scores[half][i] += (sums[half][0][i] + sums[half][1][i]) + (sums[half][0][2 + i] + sums[half][1][2 + i]);
        }
      }
    }

    // Softmax: weights relative to the new maximum; what was summed before shrinks by `shrink`.
    const float* tile_scales = scales + turn % kScaleTiles * 32 + 2 * t;  // of keys, then 16 of values
    float tile_maximum = -Infinity();
#pragma unroll
    for (int half = 0; half < 2; ++half) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        float score = scores[half][i];
        if (Format::kRowScales) score *= tile_scales[8 * half + i];
        const bool seen = tile * kTilePositions + 8 * half + 2 * t + i <= position;
        scores[half][i] = seen ? score * factor : -Infinity();
        tile_maximum = fmaxf(tile_maximum, scores[half][i]);
      }
    }
    const float next_maximum = fmaxf(maximum, QuadMax(tile_maximum));
    const float shrink = expf(maximum - next_maximum);
    maximum = next_maximum;
    sum *= shrink;
    float weights[2][2];
    // Where values have scales, the weights take them in, times a power of two that keeps the largest in F16's range.
    float largest_scale = 0;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        weights[half][i] = expf(scores[half][i] - maximum);
        sum += weights[half][i];
        if (Format::kRowScales) {
          const float scale = tile_scales[16 + 8 * half + i];
          weights[half][i] *= scale;
          largest_scale = fmaxf(largest_scale, scale);
        }
      }
    }
    float up = Format::kProbabilityScale, down = 1;
    if (Format::kRowScales) {
      largest_scale = QuadMax(largest_scale);
      // Unless it is zero, in [2^exponent, 2^(exponent + 1)).
      const int exponent = max(((__float_as_int(largest_scale) >> 23) & 255) - 127, -112);
      up = __int_as_float((127 + 14 - exponent) << 23), down = __int_as_float((127 - 14 + exponent) << 23);
    }
    const Left left = Format::MakeLeft(weights[0][0] * up, weights[0][1] * up, weights[1][0] * up, weights[1][1] * up);

#pragma unroll
    for (int slice = 0; slice < kSlices; ++slice) {
      Raw raw;
      Format::LoadValues(stream.Wait(), lane, &raw);
      stream.Release();
#pragma unroll
      for (int column = 0; column < Memory::kTiles; ++column) {
        float sums[4] = {};
        Format::Multiply(sums, left, Format::Values(raw, column));
        float(&value)[2] = values[slice * Memory::kTiles + column];
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          const float added = sums[i] + sums[2 + i];
          value[i] = Format::kRowScales ? fmaf(added, down, value[i] * shrink) : fmaf(value[i], shrink, added);
        }
      }
    }
  }

  // The warp's part, into its own ring.
  WaitForCopies<0>();
  __syncwarp();
  float* own = reinterpret_cast<float*>(shared + warp * Memory::kRingBytes);
  constexpr float kDown = Format::kRowScales ? 1.0f : 1.0f / Format::kProbabilityScale;
#pragma unroll
  for (int slice = 0; slice < kSlices; ++slice) {
#pragma unroll
    for (int column = 0; column < Memory::kTiles; ++column) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int dim = slice * Memory::kSliceDims + Format::TileDim(column, t, i);
        own[ValueAt<Memory::kDims>(g, dim)] = values[slice * Memory::kTiles + column][i] * kDown;
      }
    }
  }
  sum = QuadSum(sum);
  if (t == 0) stats[warp][g] = make_float2(maximum, sum);
  __syncthreads();

  // The split's part: the warps that had tiles, in order.
  const int busy = min(tiles.last - tiles.first, kWarps);
  const Partials partials(args, gridDim.z);
  for (int item = threadIdx.x; item < heads * head_dim / 4; item += kThreads) {
    const int head = item / (head_dim / 4), dim = item % (head_dim / 4) * 4;
    float highest = -Infinity();
    for (int w = 0; w < busy; ++w) highest = fmaxf(highest, stats[w][head].x);
    float4 total = make_float4(0, 0, 0, 0);
    float weight_sum = 0;
    for (int w = 0; w < busy; ++w) {
      const float weight = expf(stats[w][head].x - highest);
      const float4 v = *reinterpret_cast<const float4*>(
          reinterpret_cast<const float*>(shared + w * Memory::kRingBytes) + ValueAt<Memory::kDims>(head, dim));
      total.x = fmaf(weight, v.x, total.x), total.y = fmaf(weight, v.y, total.y);
      total.z = fmaf(weight, v.z, total.z), total.w = fmaf(weight, v.w, total.w);
      weight_sum = fmaf(weight, stats[w][head].y, weight_sum);
    }
    *reinterpret_cast<float4*>(partials.ValuesAt(blockIdx.z, head0 + head, split) + dim) = total;
    if (dim == 0) *partials.StatsAt(blockIdx.z, head0 + head, split) = make_float2(highest, weight_sum);
  }
}

template <KvType kType, int kSlices>
Status LaunchSplits(const AttentionDecodeArgs& args, int64_t first_row, int64_t rows, Stream stream) {
  using Format = KvFormat<kType>;
  using Memory = Shared<Format, kSlices>;
  const auto kernel = AttendSplit<Format, kSlices>;
  QNEXT_RETURN_IF_ERROR(
      ToStatus(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, Memory::kBytes), "attention"));
  const int64_t parts = CeilDiv(args.query_heads / args.kv.layout.kv_heads, kHeads);
  const dim3 blocks(kSplits, static_cast<unsigned>(args.kv.layout.kv_heads * parts), static_cast<unsigned>(rows));
  kernel<<<blocks, kThreads, Memory::kBytes, stream>>>(args, KvPageShape(args.kv.layout), static_cast<int>(first_row));
  return LaunchStatus("attention");
}

// The least number of slices that hold a row.
template <KvType kType>
Status LaunchType(const AttentionDecodeArgs& args, int64_t first_row, int64_t rows, Stream stream) {
  const int64_t slices = CeilDiv(args.kv.layout.row_bytes(), kSliceRowBytes);
  if (slices <= 1) return LaunchSplits<kType, 1>(args, first_row, rows, stream);
  if (slices <= 2) return LaunchSplits<kType, 2>(args, first_row, rows, stream);
  if constexpr (KvFormat<kType>::kElementBytes >= 2) {
    if (slices <= 4) return LaunchSplits<kType, 4>(args, first_row, rows, stream);
  }
  if constexpr (KvFormat<kType>::kElementBytes == 4) return LaunchSplits<kType, 8>(args, first_row, rows, stream);
  return Internal("attention: a head dim that no kernel takes");
}

Status LaunchSplitsOfType(const AttentionDecodeArgs& args, int64_t first_row, int64_t rows, Stream stream) {
  switch (args.kv.layout.type) {
    case KvType::kF32:
      return LaunchType<KvType::kF32>(args, first_row, rows, stream);
    case KvType::kBF16:
      return LaunchType<KvType::kBF16>(args, first_row, rows, stream);
    case KvType::kF8E4M3:
      return LaunchType<KvType::kF8E4M3>(args, first_row, rows, stream);
    case KvType::kInt8:
      return LaunchType<KvType::kInt8>(args, first_row, rows, stream);
  }
  return Internal("attention: no such KV type");
}

Status Check(const AttentionDecodeArgs& args) {
  const KvLayout& layout = args.kv.layout;
  if (layout.head_dim <= 0 || layout.head_dim > 256 || layout.head_dim % 32 != 0) {
    return Unsupported("attention: head dims are multiples of 32 up to 256");
  }
  if (layout.kv_heads <= 0 || args.query_heads <= 0 || args.query_heads % layout.kv_heads != 0) {
    return InvalidArgument("attention: query heads must be a multiple of KV heads");
  }
  if (args.kv.max_pages > (int64_t{1} << 31) / kKvPageTokens) return Unsupported("attention: positions beyond 2^31");
  const auto aligned = [](const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; };
  if (!aligned(args.kv.pool) || !aligned(args.partial))
    return InvalidArgument("attention: pool or partial not aligned");
  if (args.quantized.codes != nullptr && args.quantized.in_padded < args.query_heads * layout.head_dim) {
    return InvalidArgument("attention: int8 rows too short");
  }
  return Status();
}

}  // namespace
}  // namespace attention

Status LaunchAttention(const AttentionDecodeArgs& args, Stream stream) {
  QNEXT_RETURN_IF_ERROR(attention::Check(args));
  for (int64_t first = 0; first < args.m; first += kAttentionRowsAtOnce) {
    const int64_t rows = args.m - first < kAttentionRowsAtOnce ? args.m - first : kAttentionRowsAtOnce;
    QNEXT_RETURN_IF_ERROR(attention::LaunchSplitsOfType(args, first, rows, stream));
    QNEXT_RETURN_IF_ERROR(attention::LaunchCombine(args, first, rows, stream));
  }
  return Status();
}

}  // namespace qnext::cuda
