// Attention problems of several sequences in one paged pool on the device.
#pragma once

#include <algorithm>
#include <numeric>
#include <random>

#include "kernels/attention_test_util.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/cuda_test_util.h"

namespace qnext::kernels_test {

// What the matrix units' sums add to the roundings of a score, and to those of a value (docs/numerics.md).
constexpr double kMatrixUnitRoundings = 160;

// A token of a sequence: one row of a call.
struct AttentionRow {
  size_t sequence;
  int64_t token;
};

// Sequences of equal shape but for their positions, each a problem of its own. Their pages lie scrambled among pages of
// NaN; sequence i has slot n-1-i.
class DeviceAttention {
 public:
  explicit DeviceAttention(const std::vector<const AttentionProblem*>& sequences, uint32_t seed = 1)
      : sequences_(sequences), layout_(sequences.front()->kv.layout()) {
    constexpr int64_t kSpare = 3;
    int64_t pages = kSpare;
    for (const AttentionProblem* p : sequences) {
      max_pages_ = std::max(max_pages_, static_cast<int64_t>(p->kv.num_pages()) + 2);
      pages += static_cast<int64_t>(p->kv.num_pages());
    }
    std::vector<int32_t> places(Index(pages));
    std::iota(places.begin(), places.end(), 0);
    std::mt19937 engine(seed);
    std::shuffle(places.begin(), places.end(), engine);
    // Table entries beyond a sequence's pages name a page of NaN.
    table_.assign(sequences.size() * Index(max_pages_), places.back());
    std::vector<std::byte> pool(Index(pages * layout_.page_bytes()), std::byte{0xff});
    size_t next = 0;
    for (size_t i = 0; i < sequences.size(); ++i) {
      for (size_t page = 0; page < sequences[i]->kv.num_pages(); ++page, ++next) {
        table_[Index(Slot(i) * max_pages_) + page] = places[next];
        std::memcpy(pool.data() + Index(places[next] * layout_.page_bytes()), sequences[i]->kv.page(page),
                    Index(layout_.page_bytes()));
      }
    }
    pool_ = std::make_unique<cuda_test::DeviceArray<std::byte>>(pool);
    device_table_ = std::make_unique<cuda_test::DeviceArray<int32_t>>(table_);
  }

  int32_t Slot(size_t sequence) const { return static_cast<int32_t>(sequences_.size() - 1 - sequence); }
  cuda::PagedKv kv() {
    return {.layout = layout_, .pool = pool_->get(), .page_table = device_table_->get(), .max_pages = max_pages_};
  }
  cuda_test::DeviceArray<std::byte>& pool() { return *pool_; }
  const std::vector<int32_t>& table() const { return table_; }
  int64_t max_pages() const { return max_pages_; }

  struct Result {
    std::vector<float> out;     // [m, Hq*Dh]
    std::vector<int8_t> codes;  // [m, in_padded]
    std::vector<float> scales;  // [m, in_padded/32]
    std::vector<int32_t> sums;
  };
  // in_padded 0: no int8 rows.
  Result Run(const std::vector<AttentionRow>& rows, int64_t in_padded = 0) {
    const AttentionShape& shape = sequences_.front()->shape;
    const int64_t m = static_cast<int64_t>(rows.size()), width = shape.query_heads * shape.head_dim;
    std::vector<float> query, query_gate;
    std::vector<int32_t> positions, slots;
    for (const AttentionRow& row : rows) {
      const AttentionProblem& p = *sequences_[row.sequence];
      const auto append = [&](std::vector<float>* to, const std::vector<float>& from, int64_t n) {
        to->insert(to->end(), from.begin() + row.token * n, from.begin() + (row.token + 1) * n);
      };
      append(&query, p.q, width), append(&query_gate, p.q_and_gate, 2 * width);
      positions.push_back(static_cast<int32_t>(p.shape.start + row.token));
      slots.push_back(Slot(row.sequence));
    }
    cuda_test::DeviceArray<float> device_query(query), device_gate(query_gate), out(m * width);
    cuda_test::DeviceArray<int32_t> device_positions(positions), device_slots(slots);
    cuda_test::DeviceArray<float> partial(cuda::AttentionPartialFloats(m, shape.query_heads, shape.head_dim));
    cuda_test::DeviceArray<int8_t> codes(m * in_padded);
    cuda_test::DeviceArray<float> scales(m * in_padded / 32);
    cuda_test::DeviceArray<int32_t> sums(m * in_padded / 32);
    cuda::AttentionDecodeArgs args = {.query = device_query.get(),
                                      .query_gate = device_gate.get(),
                                      .kv = kv(),
                                      .positions = device_positions.get(),
                                      .slots = device_slots.get(),
                                      .partial = partial.get(),
                                      .out = out.get(),
                                      .m = m,
                                      .query_heads = shape.query_heads,
                                      .scale = static_cast<float>(1 / std::sqrt(static_cast<double>(shape.head_dim)))};
    if (in_padded > 0) args.quantized = {codes.get(), scales.get(), sums.get(), in_padded};
    EXPECT_TRUE(cuda_test::IsOk(cuda::LaunchAttention(args, nullptr)));
    EXPECT_TRUE(cuda_test::Synchronized());
    EXPECT_TRUE(out.GuardsIntact() && partial.GuardsIntact() && codes.GuardsIntact() && scales.GuardsIntact() &&
                sums.GuardsIntact());
    return {out.Download(), codes.Download(), scales.Download(), sums.Download()};
  }

 private:
  std::vector<const AttentionProblem*> sequences_;
  KvLayout layout_;
  int64_t max_pages_ = 0;
  std::vector<int32_t> table_;  // [slots, max_pages]
  std::unique_ptr<cuda_test::DeviceArray<std::byte>> pool_;
  std::unique_ptr<cuda_test::DeviceArray<int32_t>> device_table_;
};

// One sequence for each of `positions`, ready for one token there.
inline std::vector<std::unique_ptr<AttentionProblem>> ProblemsAt(AttentionShape shape,
                                                                 const std::vector<int64_t>& positions, uint32_t seed) {
  std::vector<std::unique_ptr<AttentionProblem>> problems;
  shape.tokens = 1;
  for (const int64_t position : positions) {
    shape.start = position;
    problems.push_back(std::make_unique<AttentionProblem>(shape, seed++));
  }
  return problems;
}

inline std::vector<const AttentionProblem*> PointersTo(const std::vector<std::unique_ptr<AttentionProblem>>& problems) {
  std::vector<const AttentionProblem*> pointers;
  for (const auto& p : problems) pointers.push_back(p.get());
  return pointers;
}

// The first token of each sequence.
inline std::vector<AttentionRow> FirstRows(size_t sequences) {
  std::vector<AttentionRow> rows;
  for (size_t i = 0; i < sequences; ++i) rows.push_back({i, 0});
  return rows;
}

// What the weights' two F16 parts lose below F16's smallest number (docs/numerics.md, "Attention"); [T, Hq, Dh].
inline std::vector<double> ProbabilityUnderflow(const AttentionProblem& p) {
  const AttentionShape& s = p.shape;
  std::vector<double> losses(Index(p.out_floats()));
  if (s.type != KvType::kInt8 && s.type != KvType::kF8E4M3) return losses;
  for (int64_t row = 0; row < s.tokens * s.query_heads; ++row) {
    const int64_t kv_head = row % s.query_heads / (s.query_heads / s.kv_heads);
    std::vector<double> sums(Index(s.head_dim));  // of |code| (int8) or |value|
    double largest = 0;                           // of the positions' maxima, 127 scales each
    for (int64_t j = 0; j <= s.start + row / s.query_heads; ++j) {
      double maximum = 0;
      const auto value = [&](int64_t i) { return std::abs(p.kv.Element(kv_head, j, true, i)); };
      for (int64_t i = 0; i < s.head_dim; ++i) maximum = std::max(maximum, value(i));
      largest = std::max(largest, maximum);
      const double unit = s.type == KvType::kInt8 ? maximum / 127 : 1;
      for (int64_t i = 0; i < s.head_dim && unit > 0; ++i) sums[Index(i)] += value(i) / unit;
    }
    const double weight = s.type == KvType::kInt8 ? largest / 127 : 1;
    for (int64_t i = 0; i < s.head_dim; ++i) {
      const double gate = p.q_and_gate[Index(row * 2 * s.head_dim + s.head_dim + i)];
      losses[Index(row * s.head_dim + i)] = std::ldexp(weight, -39) * sums[Index(i)] / (1 + std::exp(-gate));
    }
  }
  return losses;
}

inline std::vector<double> CudaAttentionErrorBounds(AttentionProblem* p) {
  const int64_t splits = p->shape.splits;
  p->shape.splits = cuda::kAttentionSplits;  // whose 16 roundings each hold those of the values' products as well
  std::vector<double> bounds = AttentionErrorBounds(*p, kMatrixUnitRoundings);
  p->shape.splits = splits;
  const std::vector<double> losses = ProbabilityUnderflow(*p);
  for (size_t i = 0; i < bounds.size(); ++i) bounds[i] += losses[i];
  return bounds;
}

// Rows of `actual` that belong to the one token of each problem: each within its bound of the reference, and as a whole
// within the typical error.
inline void ExpectAgree(const std::vector<std::unique_ptr<AttentionProblem>>& problems,
                        const std::vector<float>& actual) {
  size_t at = 0;
  for (const auto& p : problems) {
    SCOPED_TRACE(::testing::Message() << p->shape);
    const std::vector<float> expected = RunAttention(ReferenceKernels(), *p);
    const std::span<const float> rows = std::span(actual).subspan(at, expected.size());
    at += expected.size();
    EXPECT_TRUE(ElementsWithin(rows, expected, CudaAttentionErrorBounds(p.get())));
    const double n = static_cast<double>(p->shape.head_dim + p->shape.start + p->shape.tokens);
    EXPECT_TRUE(RelativeErrorWithin(rows, expected, 2 * std::sqrt(n) * kUnit));
  }
  EXPECT_EQ(at, actual.size());
}

}  // namespace qnext::kernels_test
