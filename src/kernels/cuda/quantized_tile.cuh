// The product of a piece of one weight tile with int8 activations, as one warp computes it: what the matrix-vector, the
// matrix-matrix and the experts' kernels share. docs/cuda-kernels.md says why it looks as it does.
//
// The tile's 16 rows are the rows of mma.m16n8k32, the activation rows its columns, a run of 32 inputs one step. Row g
// of the instruction is row 2g of the tile and row g+8 is row 2g+1, so that lane 4g+t takes its words of block t of the
// run by one 8-byte load. Codes, scales and zero points come to shared memory a quad (four runs) at a time, by copies
// that run ahead. Sums are exact in int32 per run, then
//   part = sum over the runs of a quad that is in one group, or one run,   of dot * scale_x   (float32, in order)
//   acc  = sum over a slice's parts                                        of part * scale_w  (float32, in order)
// and slices are added in order by the kernels. Every kernel does these operations in this order.
#pragma once

#include <cuda_fp16.h>

#include "kernels/cuda/ptx.cuh"

namespace qnext::cuda {

constexpr int kWarp = 32;
constexpr int kTileRows = 16;
constexpr int kRunInputs = 32;
constexpr int kQuadRuns = 4;
constexpr int kMmaColumns = 8;
constexpr unsigned kAllLanes = 0xffffffffu;

// Integer sums start from the bits of 1.5 * 2^23, so that they are floats without conversion: as long as a sum stays
// within 2^22, the float with these bits is 1.5 * 2^23 + sum.
constexpr int32_t kMagicBits = 0x4b400000;
constexpr float kMagic = 12582912.0f;

// Blocks (64 bytes, one word of each row) lie in shared memory with their halves exchanged where bit 1 of their index
// is set: the lanes of half a warp read half of every block t at once, and would meet in the same banks in every
// second.
__device__ inline int FragmentOffset(int g, int t) { return t * 64 + ((g * 8) ^ ((t & 2) << 4)); }
// Where a lane's 16 bytes of 512 go.
__device__ inline unsigned SwizzledOffset(unsigned lane) { return (lane * 16) ^ ((lane & 8) << 2); }

__device__ inline float SumToFloat(int32_t sum_with_magic) { return __int_as_float(sum_with_magic) - kMagic; }

// int4 codes, taken as 16 * (code - 8): what is left of a word after one exclusive or and a mask, with no shift back.
// 16 * 15 * 127 * 32 < 2^20.
struct Int4Format {
  static constexpr int kRunBytes = 256;   // codes of a tile and run
  static constexpr int kScaleBytes = 32;  // scales of a tile and group
  static constexpr int kStages = 4;       // quads that a warp of the matrix-vector kernels has under way
  static constexpr float kOutputScale = 0.0625f;

  // The words of rows 2g and 2g+1 of block t: inputs 8t .. 8t+7 of the run, the low nibbles' four first.
  __device__ static uint4 Fragment(const uint8_t* run, int g, int t) {
    const uint2 words = *reinterpret_cast<const uint2*>(run + FragmentOffset(g, t));
    return make_uint4(Low(words.x), Low(words.y), High(words.x), High(words.y));
  }
  __device__ static uint2 Inputs(const uint8_t* run, int t) { return *reinterpret_cast<const uint2*>(run + 8 * t); }
  // Scales of rows 2g and 2g+1.
  __device__ static float2 Scales(const uint8_t* scales, int g, bool bf16) {
    const uint32_t pair = *reinterpret_cast<const uint32_t*>(scales + 4 * g);
    if (bf16) return make_float2(__uint_as_float(pair << 16), __uint_as_float(pair & 0xffff0000u));
    return __half22float2(*reinterpret_cast<const __half2*>(&pair));
  }

 private:
  __device__ static uint32_t Low(uint32_t word) { return High(word << 4); }
  __device__ static uint32_t High(uint32_t word) { return XorAnd(word, 0x88888888u, 0xf0f0f0f0u); }
};

// int8 codes, float32 scales. 127 * 127 * 32 < 2^20.
struct Int8Format {
  static constexpr int kRunBytes = 512;
  static constexpr int kScaleBytes = 64;
  static constexpr int kStages = 3;
  static constexpr float kOutputScale = 1.0f;

  // The words of rows 2g and 2g+1 of the blocks t and t+4: inputs 4t .. 4t+3 and 16+4t .. 19+4t.
  __device__ static uint4 Fragment(const uint8_t* run, int g, int t) {
    const uint2 low = *reinterpret_cast<const uint2*>(run + FragmentOffset(g, t));
    const uint2 high = *reinterpret_cast<const uint2*>(run + 256 + FragmentOffset(g, t));
    return make_uint4(low.x, low.y, high.x, high.y);
  }
  __device__ static uint2 Inputs(const uint8_t* run, int t) {
    return make_uint2(*reinterpret_cast<const uint32_t*>(run + 4 * t),
                      *reinterpret_cast<const uint32_t*>(run + 16 + 4 * t));
  }
  __device__ static float2 Scales(const uint8_t* scales, int g, bool) {
    return *reinterpret_cast<const float2*>(scales + 8 * g);
  }
};

// What all tiles of a matrix have in common (32-bit: a tile has less than 2 GB; checked by the launchers).
struct TileShape {
  int32_t out, tiles;
  int32_t runs, slice_runs, slices;
  int32_t groups, runs_per_group;
  uint32_t group_multiplier;  // GroupMultiplier
  bool bf16_scales;
};

// The planes of one matrix, or of one tile.
struct TilePlanes {
  const uint8_t* codes;
  const uint8_t* scales;
  const uint8_t* zeros;  // one byte of 0..15 per row and group; unused without zero points

  template <typename Format>
  __device__ TilePlanes Tile(const TileShape& shape, int tile) const {
    const int64_t index = tile;
    return {codes + index * (shape.runs * Format::kRunBytes), scales + index * (shape.groups * Format::kScaleBytes),
            zeros + index * (shape.groups * kTileRows)};
  }
};

// Where a warp copies a tile's quads from, one after the other, as one lane sees it.
struct QuadSource {
  const uint8_t* codes;  // of the next quad, the lane's 16 bytes
  const uint8_t* scales;
  const uint8_t* zeros;
  int run, runs;  // the next quad's first run; of the row
  uint32_t group_multiplier;

  template <typename Format>
  __device__ static QuadSource Of(const TilePlanes& tile, const TileShape& shape, int run, int lane) {
    return {tile.codes + run * Format::kRunBytes + lane * 16,
            tile.scales,
            tile.zeros,
            run,
            shape.runs,
            shape.group_multiplier};
  }
  __device__ int GroupOf(int r) const {
    return group_multiplier == 0 ? r : static_cast<int>(__umulhi(static_cast<uint32_t>(r), group_multiplier));
  }
};

// A quad of a tile in shared memory: codes of four runs, then scales and zero points. kOneGroup: the group size is a
// multiple of 128, or there is one group, so that one entry of 16 scales serves the quad; otherwise each run has its
// own.
template <typename F, bool kOneGroup, bool kZeros>
struct TileQuad {
  using Format = F;
  static constexpr int kRunsPerEntry = kOneGroup ? kQuadRuns : 1;
  static constexpr int kEntries = kQuadRuns / kRunsPerEntry;
  static constexpr int kCodeBytes = kQuadRuns * Format::kRunBytes;
  static constexpr int kZerosOffset = kCodeBytes + kEntries * Format::kScaleBytes;
  static constexpr int kBytes = kZerosOffset + (kZeros ? kEntries * kTileRows : 0);
  static_assert(kBytes % 16 == 0);

  // A warp's copies of the source's next quad. Runs past the row's end become zero bytes, which meet activation scales
  // of zero. Commits nothing.
  __device__ static void CopyNext(uint8_t* quad, QuadSource& source, unsigned lane) {
    const unsigned left = static_cast<unsigned>(source.runs - source.run);
#pragma unroll
    for (unsigned at = 0; at < kCodeBytes; at += kWarp * 16) {
      CopyAsync16(quad + at + SwizzledOffset(lane), source.codes + at, (at + lane * 16) / Format::kRunBytes < left);
    }
    constexpr unsigned kVectors = Format::kScaleBytes / 16;  // of an entry
    if (lane < kEntries * kVectors) {
      const unsigned entry = lane / kVectors;
      CopyAsync16(quad + kCodeBytes + lane * 16,
                  source.scales + source.GroupOf(source.run + entry) * Format::kScaleBytes + lane % kVectors * 16,
                  entry < left);
    } else if (kZeros && lane < kEntries * (kVectors + 1)) {
      const unsigned entry = lane - kEntries * kVectors;
      CopyAsync16(quad + kZerosOffset + entry * 16, source.zeros + source.GroupOf(source.run + entry) * kTileRows,
                  entry < left);
    }
    source.codes += kCodeBytes;
    source.run += kQuadRuns;
  }

  __device__ static const uint8_t* Scales(const uint8_t* quad, int entry) {
    return quad + kCodeBytes + entry * Format::kScaleBytes;
  }
  // Zero points of rows 2g and 2g+1, as the codes stand for them: 16 * (zero - 8).
  __device__ static int2 Zeros(const uint8_t* quad, int entry, int g) {
    if constexpr (!kZeros) return make_int2(0, 0);
    const uchar2 zeros = *reinterpret_cast<const uchar2*>(quad + kZerosOffset + entry * kTileRows + 2 * g);
    return make_int2(16 * (zeros.x - 8), 16 * (zeros.y - 8));
  }
};

// What a lane sums: rows 2g and 2g+1 of the tile times kColumns columns (1: 2t; 2: 2t and 2t+1).
template <int kColumns>
struct LaneSums {
  float v[2 * kColumns] = {};  // [row][column]
};

// A value for each of a lane's columns.
template <typename T, int kColumns>
struct PerColumn {
  T v[kColumns] = {};
};

// One run: the integer sums, as floats. `zeros` as TileQuad::Zeros gives them, `sums` of the columns' codes; both only
// read with kZeros.
template <bool kZeros, int kColumns>
__device__ inline LaneSums<kColumns> RunDots(const uint4& a, const uint2& b, const int2& zeros,
                                             const PerColumn<int32_t, kColumns>& sums) {
  int32_t c[4] = {kMagicBits, kMagicBits, kMagicBits, kMagicBits};
  if constexpr (kZeros) {
#pragma unroll
    for (int j = 0; j < kColumns; ++j) {
      c[j] -= zeros.x * sums.v[j];
      c[2 + j] -= zeros.y * sums.v[j];
    }
  }
  MultiplyBytes(c, a, b);
  LaneSums<kColumns> dots;
#pragma unroll
  for (int j = 0; j < kColumns; ++j) {
    dots.v[j] = SumToFloat(c[j]);
    dots.v[kColumns + j] = SumToFloat(c[2 + j]);
  }
  return dots;
}

// part = dots * scale for the first run, part + dots * scale for the others.
template <int kColumns>
__device__ inline void AddRun(LaneSums<kColumns>& part, const LaneSums<kColumns>& dots,
                              const PerColumn<float, kColumns>& scales, bool first) {
#pragma unroll
  for (int r = 0; r < 2; ++r) {
#pragma unroll
    for (int j = 0; j < kColumns; ++j) {
      const int k = r * kColumns + j;
      part.v[k] = first ? __fmul_rn(dots.v[k], scales.v[j]) : __fmaf_rn(dots.v[k], scales.v[j], part.v[k]);
    }
  }
}

// acc += part * scale of the row.
template <int kColumns>
__device__ inline void AddPart(LaneSums<kColumns>& acc, const LaneSums<kColumns>& part, const float2& scales) {
#pragma unroll
  for (int j = 0; j < kColumns; ++j) {
    acc.v[j] = __fmaf_rn(part.v[j], scales.x, acc.v[j]);
    acc.v[kColumns + j] = __fmaf_rn(part.v[kColumns + j], scales.y, acc.v[kColumns + j]);
  }
}

// Activation rows in shared memory as one lane of a matrix-vector kernel sees them: scales (and sums of codes) lie
// [run][8] for kColumns == 2, [run] for 1.
template <int kColumns>
struct InputView {
  static constexpr int kColumnPitch = kColumns == 1 ? 1 : kMmaColumns;

  const uint8_t* codes;  // of the row that is the lane's column g
  const float* scales;   // from the lane's first column on
  const int32_t* sums;   // likewise

  __device__ PerColumn<float, kColumns> ScalesOf(int run) const {
    const float* at = scales + run * kColumnPitch;
    if constexpr (kColumns == 1) {
      return {{*at}};
    } else {
      const float2 pair = *reinterpret_cast<const float2*>(at);
      return {{pair.x, pair.y}};
    }
  }
  __device__ PerColumn<int32_t, kColumns> SumsOf(int run) const {
    const int32_t* at = sums + run * kColumnPitch;
    if constexpr (kColumns == 1) {
      return {{*at}};
    } else {
      const int2 pair = *reinterpret_cast<const int2*>(at);
      return {{pair.x, pair.y}};
    }
  }
};

// acc += quad · inputs; `run` is the quad's first.
template <typename Quad, bool kZeros, int kColumns>
__device__ inline void MultiplyQuad(const uint8_t* quad, bool bf16_scales, const InputView<kColumns>& x, int run,
                                    int lane, LaneSums<kColumns>& acc) {
  using Format = typename Quad::Format;
  const int g = lane >> 2, t = lane & 3;
  LaneSums<kColumns> part;
#pragma unroll
  for (int i = 0; i < kQuadRuns; ++i) {
    const int entry = i / Quad::kRunsPerEntry;
    PerColumn<int32_t, kColumns> sums;
    if constexpr (kZeros) sums = x.SumsOf(run + i);
    const LaneSums<kColumns> dots =
        RunDots<kZeros>(Format::Fragment(quad + i * Format::kRunBytes, g, t),
                        Format::Inputs(x.codes + (run + i) * kRunInputs, t), Quad::Zeros(quad, entry, g), sums);
    AddRun(part, dots, x.ScalesOf(run + i), i % Quad::kRunsPerEntry == 0);
    if ((i + 1) % Quad::kRunsPerEntry == 0) {
      AddPart(acc, part, Format::Scales(Quad::Scales(quad, entry), g, bf16_scales));
    }
  }
}

}  // namespace qnext::cuda
