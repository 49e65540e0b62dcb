// Causal attention over a paged cache: online softmax over tiles of keys, each tile widened to float32 once for all
// query rows of the item. Part of float_ops-inl.h.
//
// Tiles start at multiples of kKeyTile positions, so that a row meets the same tiles in the same order whatever tokens
// share its call. On tiles that some row of the item does not see whole, rows are taken token by token with just the
// keys they see.
#include "base/check.h"

namespace qnext::QNEXT_FLOAT_OPS_ISA {
namespace {

constexpr int64_t kKeyTile = kAttentionKeyTile;
static_assert(kKvPageTokens % kKeyTile == 0);

// The query rows in flight, and K and V of one tile: carved out of args.scratch, because 200 KiB are more than a stack
// may have.
struct AttentionTile {
  explicit AttentionTile(const AttentionArgs& args) {
    const int64_t size = args.layout.head_dim;
    rows = args.scratch_rows();
    k_t = args.scratch;
    v = k_t + kKeyTile * size;
    scores = v + kKeyTile * size;
    sum = scores + rows * kKeyTile;
    maximum = sum + rows * kWidth;
    q = sum + rows * 32;
    out = q + rows * size;
  }

  int64_t rows;
  float* q;        // [rows, Dh] times scale
  float* out;      // [rows, Dh] sums of exp(score - maximum) * v
  float* k_t;      // [Dh, kKeyTile]
  float* v;        // [kKeyTile, Dh]
  float* scores;   // [rows, kKeyTile] then exp(score - maximum)
  float* sum;      // [rows, kWidth] of exp(score - maximum), by lane
  float* maximum;  // [rows]
};
static_assert(kWidth < 32);

// What one item works on: query heads first_head .. first_head+group-1 of one KV head, one range of positions.
struct AttentionItem {
  int64_t kv_head, group, first_head;
  int64_t first_key, end_key;  // end_key <= the position after the last query token
};

// Row r of the item is query head first_head + r % group of token first_token + r / group.
struct RowAt {
  int64_t token, head;
};

template <KvType kType>
void LoadTile(const AttentionArgs& args, int64_t kv_head, int64_t key, int64_t keys, AttentionTile* tile) {
  const int64_t size = args.layout.head_dim;
  const std::byte* page = args.pages[key / kKvPageTokens];
  const int64_t slot = key % kKvPageTokens;
  const KvPlane k_plane = KvPlaneOf(args.layout, kv_head, /*values=*/false);
  const KvPlane v_plane = KvPlaneOf(args.layout, kv_head, /*values=*/true);
  const auto scale_of = [&](const KvPlane& plane, int64_t i) __attribute__((always_inline)) {
    float scale = 1;
    if constexpr (kType == KvType::kInt8) __builtin_memcpy(&scale, page + plane.scales + (slot + i) * 4, 4);
    return Splat(scale);
  };
  const std::byte* k_rows = page + k_plane.rows + slot * k_plane.row_bytes;
  const std::byte* v_rows = page + v_plane.rows + slot * v_plane.row_bytes;
  for (int64_t i0 = 0; i0 < kKeyTile; i0 += kWidth) {
    Floats scale[kWidth];
    for (int i = 0; i < kWidth; ++i) scale[i] = i0 + i < keys ? scale_of(k_plane, i0 + i) : Zero();
    ForVectors(size, [&](int64_t d, int64_t lanes) {
      Floats block[kWidth];
#pragma GCC unroll 16
      for (int i = 0; i < kWidth; ++i) {
        block[i] = i0 + i < keys ? LoadKv<kType>(k_rows + (i0 + i) * k_plane.row_bytes, d, lanes, scale[i]) : Zero();
      }
      Transpose(block);
      for (int64_t i = 0; i < lanes; ++i) Store(tile->k_t + (d + i) * kKeyTile + i0, block[i]);
    });
  }
  for (int64_t i = 0; i < keys; ++i) {
    const Floats scale = scale_of(v_plane, i);
    ForVectors(size, [&](int64_t d, int64_t lanes) {
      StoreFirst(tile->v + i * size + d, LoadKv<kType>(v_rows + i * v_plane.row_bytes, d, lanes, scale), lanes);
    });
  }
}

void LoadTileOf(const AttentionArgs& args, int64_t kv_head, int64_t key, int64_t keys, AttentionTile* tile) {
  switch (args.layout.type) {
    case KvType::kF32:
      return LoadTile<KvType::kF32>(args, kv_head, key, keys, tile);
    case KvType::kBF16:
      return LoadTile<KvType::kBF16>(args, kv_head, key, keys, tile);
    case KvType::kF8E4M3:
      return LoadTile<KvType::kF8E4M3>(args, kv_head, key, keys, tile);
    case KvType::kInt8:
      return LoadTile<KvType::kInt8>(args, kv_head, key, keys, tile);
  }
}

// One online-softmax step of row r over the first `keys` >= 1 scores of the tile.
QNEXT_INLINE void SoftmaxRow(AttentionTile* tile, int64_t r, int64_t keys, int64_t size) {
  constexpr int kVectors = kKeyTile / kWidth;
  const Floats hidden = Splat(-__builtin_inff());
  float* scores = tile->scores + r * kKeyTile;
  for (int64_t i = keys; i < kKeyTile; ++i) scores[i] = hidden[0];
  Floats largest = hidden;
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) largest = Max(Load(scores + v * kWidth), largest);
  float* lane_sums = tile->sum + r * kWidth;
  const float tile_maximum = MaxLanes(largest);
  if (tile_maximum > tile->maximum[r]) {
    const float correction = ExpOne(tile->maximum[r] - tile_maximum);
    tile->maximum[r] = tile_maximum;
    Store(lane_sums, Load(lane_sums) * Splat(correction));
    float* out = tile->out + r * size;
    ForVectors(size, [&](int64_t d, int64_t lanes) {
      StoreFirst(out + d, LoadFirst(out + d, lanes) * Splat(correction), lanes);
    });
  }
  Floats sum = Load(lane_sums);
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) {
    const Floats p = Exp(Load(scores + v * kWidth) - Splat(tile->maximum[r]));
    Store(scores + v * kWidth, p);
    sum = sum + p;
  }
  Store(lane_sums, sum);
}

// Rows [first, first + count) of the item's rows, where row 0 is (token first_token, first head): all tiles.
void AttendRows(const AttentionArgs& args, const AttentionItem& item, int64_t first_token, int64_t first, int64_t count,
                AttentionTile* tile) {
  const int64_t size = args.layout.head_dim;
  const auto row_at = [&](int64_t r) {
    return RowAt{first_token + (first + r) / item.group, item.first_head + (first + r) % item.group};
  };
  for (int64_t r = 0; r < count; ++r) {
    const RowAt row = row_at(r);
    const float* q = args.q + (row.token * args.query_heads + row.head) * size;
    ForVectors(size, [&](int64_t d, int64_t lanes) {
      StoreFirst(tile->q + r * size + d, LoadFirst(q + d, lanes) * Splat(args.scale), lanes);
      StoreFirst(tile->out + r * size + d, Zero(), lanes);
    });
    Store(tile->sum + r * kWidth, Zero());
    tile->maximum[r] = -__builtin_inff();
  }

  const int64_t first_position = args.start + row_at(0).token;
  const int64_t end_key = Min(item.end_key, args.start + row_at(count - 1).token + 1);
  for (int64_t key = item.first_key; key < end_key; key += kKeyTile) {
    const int64_t keys = Min(kKeyTile, end_key - key);
    LoadTileOf(args, item.kv_head, key, keys, tile);
    Product<false>(count, kKeyTile, size, {tile->q, size}, tile->k_t, kKeyTile, tile->scores, kKeyTile);
    const bool whole = key + kKeyTile <= first_position + 1;  // every row sees every key of the tile
    int64_t r = 0;
    while (r < count) {
      const RowAt row = row_at(r);
      const int64_t rows = whole ? count : Min(count - r, item.group - (first + r) % item.group);
      const int64_t seen = Min(keys, args.start + row.token + 1 - key);
      if (seen > 0) {
        for (int64_t i = r; i < r + rows; ++i) SoftmaxRow(tile, i, seen, size);
        Product<true>(rows, size, seen, {tile->scores + r * kKeyTile, kKeyTile}, tile->v, size, tile->out + r * size,
                      size);
      }
      r += rows;
    }
  }
}

// out = values / sum * sigmoid(gate)
QNEXT_INLINE void FinishRow(const AttentionArgs& args, RowAt row, const float* values, float sum) {
  const int64_t size = args.layout.head_dim;
  const float* gate = args.gate + row.token * args.gate_token_stride + row.head * args.gate_head_stride;
  float* out = args.out + (row.token * args.query_heads + row.head) * size;
  ForVectors(size, [&](int64_t d, int64_t lanes) {
    const Floats mean = LoadFirst(values + d, lanes) / Splat(sum);
    StoreFirst(out + d, mean * Sigmoid(LoadFirst(gate + d, lanes)), lanes);
  });
}

QNEXT_INLINE float* PartialOf(const AttentionArgs& args, RowAt row, int64_t split) {
  const int64_t width = args.layout.head_dim + 2;
  return args.partial + ((row.token * args.query_heads + row.head) * args.splits + split) * width;
}

void WriteRows(const AttentionArgs& args, const AttentionItem& item, int64_t first_token, int64_t first, int64_t count,
               int64_t split, const AttentionTile& tile) {
  const int64_t size = args.layout.head_dim;
  for (int64_t r = 0; r < count; ++r) {
    const RowAt row = {first_token + (first + r) / item.group, item.first_head + (first + r) % item.group};
    const float* values = tile.out + r * size;
    const float sum = SumLanes(Load(tile.sum + r * kWidth));
    if (args.splits == 1) {
      FinishRow(args, row, values, sum);
      continue;
    }
    float* partial = PartialOf(args, row, split);
    ForVectors(size, [&](int64_t d, int64_t lanes) { StoreFirst(partial + d, LoadFirst(values + d, lanes), lanes); });
    partial[size] = tile.maximum[r];
    partial[size + 1] = sum;
  }
}

// Pages of each split for a query at `position`: its own, so that the tokens sharing a call do not move it.
QNEXT_INLINE int64_t PagesPerSplit(const AttentionArgs& args, int64_t position) {
  const int64_t pages = position / kKvPageTokens + 1;
  return (pages + args.splits - 1) / args.splits;
}

void Attention(const AttentionArgs& args, Range items) {
  QNEXT_CHECK(args.scratch != nullptr, "attention needs scratch");
  AttentionTile tile(args);
  const int64_t group = args.query_heads / args.layout.kv_heads;
  for (int64_t i = items.begin; i < items.end; ++i) {
    const int64_t split = i % args.splits;
    const int64_t kv_head = i / args.splits % args.layout.kv_heads;
    const int64_t block = i / args.splits / args.layout.kv_heads;
    const int64_t block_end = Min((block + 1) * kAttentionBlockTokens, args.tokens);
    int64_t token = block * kAttentionBlockTokens;
    while (token < block_end) {
      // Tokens of the block that share the borders of this split.
      const int64_t split_pages = PagesPerSplit(args, args.start + token);
      int64_t end = token + 1;
      while (end < block_end && PagesPerSplit(args, args.start + end) == split_pages) ++end;
      const AttentionItem item = {.kv_head = kv_head,
                                  .group = group,
                                  .first_head = kv_head * group,
                                  .first_key = split * split_pages * kKvPageTokens,
                                  .end_key = (split + 1) * split_pages * kKvPageTokens};
      const int64_t rows = (end - token) * group;
      for (int64_t r = 0; r < rows; r += tile.rows) {
        const int64_t count = Min(tile.rows, rows - r);
        AttendRows(args, item, token, r, count, &tile);
        WriteRows(args, item, token, r, count, split, tile);
      }
      token = end;
    }
  }
}

void AttentionCombine(const AttentionArgs& args, Range token_heads) {
  const int64_t size = args.layout.head_dim;
  for (int64_t item = token_heads.begin; item < token_heads.end; ++item) {
    const RowAt row = {item / args.query_heads, item % args.query_heads};
    float* values = args.out + item * size;  // finished in place
    float maximum = -__builtin_inff();
    for (int64_t s = 0; s < args.splits; ++s) {
      const float m = PartialOf(args, row, s)[size];
      maximum = m > maximum ? m : maximum;
    }
    ForVectors(size, [&](int64_t d, int64_t lanes) { StoreFirst(values + d, Zero(), lanes); });
    float sum = 0;
    for (int64_t s = 0; s < args.splits; ++s) {
      const float* partial = PartialOf(args, row, s);
      const float weight = ExpOne(partial[size] - maximum);
      sum += weight * partial[size + 1];
      ForVectors(size, [&](int64_t d, int64_t lanes) {
        const Floats total = Fma(Splat(weight), LoadFirst(partial + d, lanes), LoadFirst(values + d, lanes));
        StoreFirst(values + d, total, lanes);
      });
    }
    FinishRow(args, row, values, sum);
  }
}

}  // namespace
}  // namespace qnext::QNEXT_FLOAT_OPS_ISA
