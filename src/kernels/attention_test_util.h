// Random attention problems over a paged cache, and the error bounds of docs/numerics.md for them.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>

#include "kernels/kernels_test_util.h"
#include "kernels/reference/kv_row.h"

namespace qnext::kernels_test {

constexpr KvType kAllKvTypes[] = {KvType::kF32, KvType::kBF16, KvType::kF8E4M3, KvType::kInt8};

inline const char* KvTypeName(KvType type) {
  switch (type) {
    case KvType::kF32:
      return "F32";
    case KvType::kBF16:
      return "BF16";
    case KvType::kF8E4M3:
      return "E4M3";
    case KvType::kInt8:
      return "int8";
  }
  return "";
}

// Pages of one layer, scattered in memory and full of 0xff (NaN in every type but int8) where nothing was appended.
class PagedKv {
 public:
  PagedKv(const KvLayout& layout, int64_t positions) : layout_(layout) {
    for (int64_t i = 0; i < CeilDiv(positions, kKvPageTokens); ++i) {
      storage_.push_back(std::make_unique<Guarded<std::byte>>(layout.page_bytes()));
      pages_.push_back(storage_.back()->get());
    }
  }

  void Append(const Kernels& ops, const std::vector<float>& k, const std::vector<float>& v, int64_t start) {
    const int64_t tokens = static_cast<int64_t>(k.size()) / (layout_.kv_heads * layout_.head_dim);
    const KvAppendArgs args = {.k = k.data(), .v = v.data(), .layout = layout_, .pages = pages_.data(), .start = start};
    ops.kv_append(args, {0, tokens});
  }
  double Element(int64_t head, int64_t position, bool values, int64_t i) const {
    return reference::LoadKvElement(layout_, head, position % kKvPageTokens, values, i,
                                    pages_[Index(position / kKvPageTokens)]);
  }
  const KvLayout& layout() const { return layout_; }
  std::byte* const* pages() const { return pages_.data(); }
  std::byte* page(size_t i) const { return pages_[i]; }
  size_t num_pages() const { return pages_.size(); }
  const Guarded<std::byte>& storage(size_t i) const { return *storage_[i]; }

 private:
  KvLayout layout_;
  std::vector<std::unique_ptr<Guarded<std::byte>>> storage_;
  std::vector<std::byte*> pages_;
};

struct AttentionShape {
  int64_t start, tokens, query_heads, kv_heads, head_dim;
  KvType type = KvType::kF32;
  int64_t splits = 1;
};

inline std::ostream& operator<<(std::ostream& out, const AttentionShape& s) {
  return out << KvTypeName(s.type) << " start " << s.start << ", T " << s.tokens << ", Hq " << s.query_heads << ", Hkv "
             << s.kv_heads << ", Dh " << s.head_dim << ", splits " << s.splits;
}

// Queries and gates lie as q_proj leaves the gates: gate of head h behind its query.
struct AttentionProblem {
  AttentionProblem(const AttentionShape& s, uint32_t seed)
      : shape(s), kv({.type = s.type, .kv_heads = s.kv_heads, .head_dim = s.head_dim}, s.start + s.tokens) {
    Random random(seed);
    q = random.Normal(s.tokens * s.query_heads * s.head_dim);
    q_and_gate = random.Normal(s.tokens * s.query_heads * 2 * s.head_dim, 2);
    const int64_t floats = (s.start + s.tokens) * s.kv_heads * s.head_dim;
    k = random.Normal(floats), v = random.Normal(floats);
    kv.Append(ReferenceKernels(), k, v, 0);
  }

  // Of tokens [first, first + count) of this problem.
  AttentionArgs Args(int64_t first, int64_t count, float* out, float* partial) const {
    const int64_t row = shape.query_heads * shape.head_dim;
    return {.q = q.data() + first * row,
            .gate = q_and_gate.data() + first * 2 * row + shape.head_dim,
            .layout = kv.layout(),
            .pages = kv.pages(),
            .out = out + first * row,
            .partial = partial,
            .scratch = nullptr,
            .tokens = count,
            .start = shape.start + first,
            .query_heads = shape.query_heads,
            .gate_token_stride = 2 * row,
            .gate_head_stride = 2 * shape.head_dim,
            .splits = shape.splits,
            .scale = static_cast<float>(1 / std::sqrt(static_cast<double>(shape.head_dim)))};
  }
  int64_t out_floats() const { return shape.tokens * shape.query_heads * shape.head_dim; }
  int64_t partial_floats() const {
    return shape.splits == 1 ? 0 : shape.tokens * shape.query_heads * shape.splits * (shape.head_dim + 2);
  }

  AttentionShape shape;
  std::vector<float> q, q_and_gate, k, v;
  PagedKv kv;
};

// Runs attention, and combine where there are splits, over the whole problem.
inline std::vector<float> RunAttention(const Kernels& ops, const AttentionProblem& p,
                                       Grouping grouping = Grouping::kWhole) {
  Guarded<float> out(p.out_floats()), partial(p.partial_floats());
  AttentionArgs args = p.Args(0, p.shape.tokens, out.get(), partial.get());
  Guarded<float> scratch(args.scratch_floats());
  args.scratch = scratch.get();
  ForRanges(grouping, args.items(), [&](Range items) { ops.attention(args, items); });
  if (p.shape.splits > 1) {
    ForRanges(grouping, p.shape.tokens * p.shape.query_heads, [&](Range rows) { ops.attention_combine(args, rows); });
  }
  EXPECT_TRUE(out.GuardsIntact()) << p.shape;
  EXPECT_TRUE(partial.GuardsIntact()) << p.shape;
  EXPECT_TRUE(scratch.GuardsIntact()) << p.shape;
  return {out.span().begin(), out.span().end()};
}

// |error| of a float32 evaluation (docs/numerics.md, "Attention"), [T, Hq, Dh], whose scores take `more_roundings` than
// plain sums do.
inline std::vector<double> AttentionErrorBounds(const AttentionProblem& p, double more_roundings = 0) {
  const AttentionShape& s = p.shape;
  const double scale = 1 / std::sqrt(static_cast<double>(s.head_dim));
  std::vector<double> bounds(Index(p.out_floats()));
  for (int64_t row = 0; row < s.tokens * s.query_heads; ++row) {
    const int64_t t = row / s.query_heads, head = row % s.query_heads;
    const int64_t kv_head = head / (s.query_heads / s.kv_heads);
    const int64_t keys = s.start + t + 1;
    const float* q = p.q.data() + row * s.head_dim;
    std::vector<double> scores, absolute_value(Index(s.head_dim));
    double highest = -INFINITY, lowest = INFINITY, largest = 0, sum = 0;  // largest: of sum |q||k| scale
    for (int64_t j = 0; j < keys; ++j) {
      double score = 0, magnitude = 0;
      for (int64_t i = 0; i < s.head_dim; ++i) {
        const double product = scale * static_cast<double>(q[i]) * p.kv.Element(kv_head, j, false, i);
        score += product, magnitude += std::abs(product);
      }
      scores.push_back(score);
      highest = std::max(highest, score), lowest = std::min(lowest, score), largest = std::max(largest, magnitude);
    }
    for (int64_t j = 0; j < keys; ++j) {
      const double weight = std::exp(scores[Index(j)] - highest);
      sum += weight;
      for (int64_t i = 0; i < s.head_dim; ++i) {
        absolute_value[Index(i)] += weight * std::abs(p.kv.Element(kv_head, j, true, i));
      }
    }
    const double n = static_cast<double>(keys);
    const double score_error =
        Gamma(static_cast<double>(s.head_dim) + 4 + more_roundings) * largest + kUnit * (highest - lowest);
    const double relative = 2 * score_error + Gamma(2 * n + 16 * (n / 32 + static_cast<double>(s.splits)) + 40);
    for (int64_t i = 0; i < s.head_dim; ++i) {
      const double gate = p.q_and_gate[Index(row * 2 * s.head_dim + s.head_dim + i)];
      bounds[Index(row * s.head_dim + i)] = relative * absolute_value[Index(i)] / sum / (1 + std::exp(-gate)) + 1e-30;
    }
  }
  return bounds;
}

}  // namespace qnext::kernels_test
