// int4 weights times many rows of int8 activations in AMX tiles; included after vec_avx512-inl.h.
//
// The packed layout is the matrix unit's own: a 64-byte block holds, in its low nibbles, four neighbouring inputs of 16
// output rows (one row of a B tile) and in its high nibbles the next four. A run of 32 inputs is eight rows of a B
// tile, and because activations have one scale per run, each tile product is one run: 16 activation rows x 16 output
// rows x 32 inputs, then converted, scaled and added in registers while the unit works on the next run. The zero point
// is taken off the codes as they are unpacked, so that the products are those of all other paths: the float operations
// and their order are the same, and so are the bits.
#include "kernels/cpu/isa_ops.h"

namespace qnext::QNEXT_ISA {
namespace {

constexpr int kAmxRows = 16;        // activation rows of a full A tile
constexpr int64_t kChunkRuns = 32;  // runs unpacked together: 16 KB, so that B tiles come from the first cache
// Products started before the sums of one are read. From the loads of a product to its sums in memory it is well over
// 100 cycles, a product and its scaling take about 25 each, and the processor looks ahead a few hundred instructions
// only.
constexpr int64_t kAhead = 6;
constexpr int64_t kSumBuffers = 8;  // > kAhead, a power of two

// The tile registers: two sums of full and two of the remaining rows, one A tile of each kind, two B tiles. GCC pastes
// the number into the instruction, so that only macros can name it.
#define QNEXT_FULL_SUM0 0
#define QNEXT_FULL_SUM1 1
#define QNEXT_REST_SUM0 2
#define QNEXT_REST_SUM1 3
#define QNEXT_FULL_A 4
#define QNEXT_REST_A 5
#define QNEXT_B0 6
#define QNEXT_B1 7

// The operand of ldtilecfg (Intel SDM, "Tile configuration").
struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

void ConfigureTiles(int rest) {
  TileConfig config;
  const auto set = [&config](int tile, int rows, int row_bytes) {
    config.rows[tile] = static_cast<uint8_t>(rows);
    config.row_bytes[tile] = static_cast<uint16_t>(row_bytes);
  };
  set(QNEXT_FULL_SUM0, kAmxRows, 64);
  set(QNEXT_FULL_SUM1, kAmxRows, 64);
  set(QNEXT_REST_SUM0, rest, 64);
  set(QNEXT_REST_SUM1, rest, 64);
  set(QNEXT_FULL_A, kAmxRows, 32);
  set(QNEXT_REST_A, rest, 32);
  set(QNEXT_B0, 8, 64);
  set(QNEXT_B1, 8, 64);
  _tile_loadconfig(&config);
}

// 16 activation rows of the call, the last of which may stand for rows that are not there.
struct RowBlock {
  const int8_t* codes;  // of the first row
  const float* scales[kAmxRows];
  int64_t first, rows;
};

struct Chunk {
  alignas(64) int8_t weights[kChunkRuns][8][64];  // code - zero, B tiles
  alignas(64) int32_t sums[kSumBuffers][kAmxRows][16];
};

// Unpacks `runs` runs of one tile of output rows, from `run` on; group borders inside are those of the weight.
inline void Unpack(const Int4Weight& w, const uint8_t* codes, const uint8_t* zeros, int64_t run, int64_t runs,
                   Chunk& chunk) {
  __m512i zero = _mm512_set1_epi8(8);
  for (int64_t r = 0; r < runs; ++r) {
    if (zeros != nullptr) {
      const __m128i bytes =
          _mm_loadu_si128(reinterpret_cast<const __m128i*>(zeros + (run + r) / w.runs_per_group * 16));
      zero = _mm512_mullo_epi32(_mm512_cvtepu8_epi32(bytes), _mm512_set1_epi32(0x01010101));
    }
    for (int block = 0; block < 4; ++block) {
      const uint8_t* from = codes + (run + r) * 256 + block * 64;
      Prefetch(from + kI8PrefetchBytes);
      const Codes pairs = LoadCodes(from);
      _mm512_store_si512(chunk.weights[r][2 * block], _mm512_sub_epi8(LowCodes(pairs), zero));
      _mm512_store_si512(chunk.weights[r][2 * block + 1], _mm512_sub_epi8(HighCodes(pairs), zero));
    }
  }
}

// Starts the product of one run and leaves its sums in chunk.sums[in_chunk % kSumBuffers]. Tile numbers are part of the
// instruction.
template <bool kFull>
inline void RunProduct(const RowBlock& block, int64_t x_stride, int64_t run, int64_t in_chunk, Chunk& chunk) {
  const int8_t* a = block.codes + run * 32;
  const int8_t* b = chunk.weights[in_chunk][0];
  int32_t* sums = chunk.sums[in_chunk % kSumBuffers][0];
  if (in_chunk % 2 == 0) {
    _tile_loadd(QNEXT_B0, b, 64);
    if constexpr (kFull) {
      _tile_zero(QNEXT_FULL_SUM0);
      _tile_loadd(QNEXT_FULL_A, a, x_stride);
      _tile_dpbssd(QNEXT_FULL_SUM0, QNEXT_FULL_A, QNEXT_B0);
      _tile_stored(QNEXT_FULL_SUM0, sums, 64);
    } else {
      _tile_zero(QNEXT_REST_SUM0);
      _tile_loadd(QNEXT_REST_A, a, x_stride);
      _tile_dpbssd(QNEXT_REST_SUM0, QNEXT_REST_A, QNEXT_B0);
      _tile_stored(QNEXT_REST_SUM0, sums, 64);
    }
  } else {
    _tile_loadd(QNEXT_B1, b, 64);
    if constexpr (kFull) {
      _tile_zero(QNEXT_FULL_SUM1);
      _tile_loadd(QNEXT_FULL_A, a, x_stride);
      _tile_dpbssd(QNEXT_FULL_SUM1, QNEXT_FULL_A, QNEXT_B1);
      _tile_stored(QNEXT_FULL_SUM1, sums, 64);
    } else {
      _tile_zero(QNEXT_REST_SUM1);
      _tile_loadd(QNEXT_REST_A, a, x_stride);
      _tile_dpbssd(QNEXT_REST_SUM1, QNEXT_REST_A, QNEXT_B1);
      _tile_stored(QNEXT_REST_SUM1, sums, 64);
    }
  }
}

// The groups of one chunk for one block of rows; kRows >= block.rows is how many rows are computed, in registers.
template <int kRows>
void ChunkProduct(const Int4I8Job& job, const RowBlock& block, int64_t tile, int64_t run, int64_t runs, Chunk& chunk) {
  const Int4Weight& w = job.weight;
  const int64_t x_stride = w.runs * 32;
  const int64_t rows_left = w.out - tile * 16;
  const __mmask16 mask = rows_left >= 16 ? __mmask16{0xffff} : static_cast<__mmask16>((1u << rows_left) - 1u);
  float* y = job.y + block.first * job.y_stride + tile * 16;

  for (int64_t r = 0; r < kAhead && r < runs; ++r) RunProduct<kRows == kAmxRows>(block, x_stride, run + r, r, chunk);
  Rows group_sum[kRows];
  for (Rows& sum : group_sum) sum = ZeroRows();
  for (int64_t r = 0; r < runs; ++r) {
    if (r + kAhead < runs) RunProduct<kRows == kAmxRows>(block, x_stride, run + r + kAhead, r + kAhead, chunk);
    const auto& sums = chunk.sums[r % kSumBuffers];
    for (int i = 0; i < kRows; ++i) {
      group_sum[i] =
          MulAdd(_mm512_cvtepi32_ps(_mm512_load_si512(sums[i])), SplatRows(block.scales[i] + run + r), group_sum[i]);
    }
    const int64_t next = run + r + 1;
    if (next % w.runs_per_group != 0 && next != w.runs) continue;
    const Rows scale = LoadScales(w.scales + (tile * w.groups + (next - 1) / w.runs_per_group) * 16, w.bf16_scales);
    const bool first_group = next <= w.runs_per_group;
    for (int i = 0; i < kRows; ++i) {
      if (i < block.rows) {
        float* out = y + i * job.y_stride;
        const Rows before = first_group ? ZeroRows() : _mm512_maskz_loadu_ps(mask, out);
        _mm512_mask_storeu_ps(out, mask, MulAdd(group_sum[i], scale, before));
      }
      group_sum[i] = ZeroRows();
    }
  }
}

inline RowBlock BlockOf(const Int4I8Job& job, int64_t first) {
  const int64_t rows = job.m - first < kAmxRows ? job.m - first : kAmxRows;
  RowBlock block = {.codes = job.codes + first * job.weight.runs * 32, .scales = {}, .first = first, .rows = rows};
  for (int i = 0; i < kAmxRows; ++i) {
    block.scales[i] = job.scales + (first + (i < rows ? i : rows - 1)) * job.weight.runs;
  }
  return block;
}

void AmxTiles(const Int4I8Job& job, int64_t begin, int64_t end) {
  const Int4Weight& w = job.weight;
  const int64_t groups_per_chunk = kChunkRuns / w.runs_per_group;
  const int64_t chunk_runs = groups_per_chunk * w.runs_per_group;
  const int rest = static_cast<int>(job.m % kAmxRows);
  ConfigureTiles(rest == 0 ? kAmxRows : rest);
  Chunk chunk;
  for (int64_t tile = begin; tile < end; ++tile) {
    const uint8_t* codes = w.codes + tile * w.runs * 256;
    const uint8_t* zeros = w.zeros == nullptr ? nullptr : w.zeros + tile * w.groups * 16;
    for (int64_t run = 0; run < w.runs; run += chunk_runs) {
      const int64_t runs = w.runs - run < chunk_runs ? w.runs - run : chunk_runs;
      Unpack(w, codes, zeros, run, runs, chunk);
      for (int64_t first = 0; first < job.m; first += kAmxRows) {
        const RowBlock block = BlockOf(job, first);
        if (block.rows == kAmxRows) {
          ChunkProduct<kAmxRows>(job, block, tile, run, runs, chunk);
        } else if (block.rows > 12) {
          ChunkProduct<15>(job, block, tile, run, runs, chunk);
        } else if (block.rows > 8) {
          ChunkProduct<12>(job, block, tile, run, runs, chunk);
        } else {
          ChunkProduct<8>(job, block, tile, run, runs, chunk);
        }
      }
    }
  }
  _tile_release();
}

#undef QNEXT_FULL_SUM0
#undef QNEXT_FULL_SUM1
#undef QNEXT_REST_SUM0
#undef QNEXT_REST_SUM1
#undef QNEXT_FULL_A
#undef QNEXT_REST_A
#undef QNEXT_B0
#undef QNEXT_B1

}  // namespace
}  // namespace qnext::QNEXT_ISA
