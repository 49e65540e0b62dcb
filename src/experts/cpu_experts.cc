#include "experts/cpu_experts.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "kernels/gate_up.h"

namespace qnext {
namespace {

constexpr int64_t kTilesPerRun = kInt4BlockInputs / kInt4TileRows;
// A thread takes this part of an equal share of what is left at a time: long reads at first, short ones at the end, so
// that all threads end together.
constexpr int64_t kShares = 2;

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

Int8Rows RowsFrom(const Int8Rows& rows, int64_t first) {
  const int64_t runs = rows.in_padded / kInt4BlockInputs;
  return {.codes = rows.codes + first * rows.in_padded,
          .scales = rows.scales + first * runs,
          .sums = rows.sums + first * runs,
          .in_padded = rows.in_padded};
}

}  // namespace

CpuExperts::CpuExperts(const Kernels& kernels, ThreadPool& pool, int64_t max_rows, int64_t max_pairs, int64_t hidden,
                       int64_t intermediate)
    : kernels_(kernels),
      pool_(pool),
      max_rows_(max_rows),
      max_pairs_(max_pairs),
      intermediate_(RoundUp(intermediate, kInt4BlockInputs)) {
  const int64_t width = RoundUp(hidden, kInt4BlockInputs);
  groups_.reserve(static_cast<size_t>(max_pairs));
  hidden_left_ = std::make_unique<Counter[]>(static_cast<size_t>(max_pairs));
  pair_order_.resize(static_cast<size_t>(max_pairs));
  pair_place_.resize(static_cast<size_t>(max_pairs));
  x_codes_ = AlignedBuffer<int8_t>(max_pairs * width);
  x_scales_ = AlignedBuffer<float>(max_pairs * width / kInt4BlockInputs);
  x_sums_ = AlignedBuffer<int32_t>(max_pairs * width / kInt4BlockInputs);
  hidden_codes_ = AlignedBuffer<int8_t>(max_pairs * intermediate_);
  hidden_scales_ = AlignedBuffer<float>(max_pairs * intermediate_ / kInt4BlockInputs);
  hidden_sums_ = AlignedBuffer<int32_t>(max_pairs * intermediate_ / kInt4BlockInputs);
  gate_ = AlignedBuffer<float>(max_pairs * intermediate_);
  up_ = AlignedBuffer<float>(max_pairs * intermediate_);
  outputs_ = AlignedBuffer<float>(pool.threads() * max_pairs * hidden);
}

void CpuExperts::GroupPairs(const CpuExpertPairs& pairs) {
  const auto count = static_cast<int32_t>(pairs.experts.size());
  groups_.clear();
  int32_t placed = 0;
  for (int32_t i = 0; i < count; ++i) {
    const int32_t expert = pairs.experts[static_cast<size_t>(i)];
    const auto known = [&](const Group& group) { return group.expert == expert; };
    if (std::ranges::any_of(groups_, known)) continue;
    Group group = {.expert = expert, .first = placed, .count = 0};
    for (int32_t j = i; j < count; ++j) {
      if (pairs.experts[static_cast<size_t>(j)] != expert) continue;
      pair_place_[static_cast<size_t>(j)] = placed;
      pair_order_[static_cast<size_t>(placed++)] = j;
      ++group.count;
    }
    groups_.push_back(group);
  }
}

// The input row of every pair, in the order of the groups.
void CpuExperts::GatherRows(const CpuExpertPairs& pairs, const Int8Rows& x) {
  const int64_t width = x.in_padded, runs = width / kInt4BlockInputs;
  for (size_t place = 0; place < pairs.rows.size(); ++place) {
    const int64_t row = pairs.rows[static_cast<size_t>(pair_order_[place])], to = static_cast<int64_t>(place);
    std::memcpy(x_codes_.data() + to * width, x.codes + row * width, static_cast<size_t>(width));
    std::memcpy(x_scales_.data() + to * runs, x.scales + row * runs, static_cast<size_t>(runs) * sizeof(float));
    std::memcpy(x_sums_.data() + to * runs, x.sums + row * runs, static_cast<size_t>(runs) * sizeof(int32_t));
  }
}

Int8Rows CpuExperts::Hidden(const Int4Layout& down, int64_t first) {
  return RowsFrom({.codes = hidden_codes_.data(),
                   .scales = hidden_scales_.data(),
                   .sums = hidden_sums_.data(),
                   .in_padded = down.in_padded()},
                  first);
}

Range CpuExperts::Take(const Work& work) {
  const int64_t runs = CeilDiv(work.layer.gate_up.out, kInt4BlockInputs), shares = kShares * pool_.threads();
  int64_t begin = next_item_.load(std::memory_order_relaxed), end = begin;
  do {
    if (begin >= work.items) return {work.items, work.items};
    const bool hidden = begin < work.hidden_items;
    end = begin + std::max<int64_t>(1, ((hidden ? work.hidden_items : work.items) - begin) / shares);
    end = std::min(end, hidden ? (begin / runs + 1) * runs : work.items);
  } while (!next_item_.compare_exchange_weak(begin, end, std::memory_order_relaxed));
  return {begin, end};
}

void CpuExperts::RunItems(const Work& work, int thread) {
  for (Range now = Take(work); now.begin < now.end; now = Take(work)) {
    if (now.begin < work.hidden_items) {
      RunGateUp(work, now);
    } else {
      RunDown(work, {now.begin - work.hidden_items, now.end - work.hidden_items}, thread);
    }
  }
}

void CpuExperts::RunGateUp(const Work& work, Range items) {
  const CpuExpertLayer& layer = work.layer;
  const int64_t runs = CeilDiv(layer.gate_up.out, kInt4BlockInputs);
  const auto index = static_cast<size_t>(items.begin / runs);
  const Group& group = groups_[index];
  const std::byte* expert = layer.base + group.expert * layer.stride;
  const Int8Rows rows = one_row_ ? work.x : RowsFrom(work.x, group.first);
  GateUp(kernels_,
         {.gate = {.layout = layer.gate_up, .data = expert},
          .up = {.layout = layer.gate_up, .data = expert + layer.gate_up.bytes()},
          .x_gate = rows,
          .x_up = rows,
          .gate_y = gate_.data() + group.first * intermediate_,
          .up_y = up_.data() + group.first * intermediate_,
          .activated = Hidden(layer.down, group.first),
          .m = group.count,
          .y_stride = intermediate_},
         {items.begin % runs, items.begin % runs + items.size()});
  hidden_left_[index].value.fetch_sub(items.size(), std::memory_order_release);
}

void CpuExperts::RunDown(const Work& work, Range tiles, int thread) {
  const CpuExpertLayer& layer = work.layer;
  const int64_t dim = layer.down.out;
  float* y = outputs_.data() + thread * max_pairs_ * dim;
  const auto down = [&](const Group& group) {
    return Int4Matrix{.layout = layer.down,
                      .data = layer.base + group.expert * layer.stride + 2 * layer.gate_up.bytes()};
  };
  for (size_t g = 0; g < groups_.size(); ++g) {
    // Items are handed out in order, so others are at work on what is missing here.
    while (hidden_left_[g].value.load(std::memory_order_acquire) > 0) Pause();
    kernels_.int4_matmul_i8({.weight = down(groups_[g]),
                             .x = Hidden(layer.down, groups_[g].first),
                             .y = y + groups_[g].first * dim,
                             .m = groups_[g].count,
                             .y_stride = dim,
                             .next = g + 1 < groups_.size() ? down(groups_[g + 1]).codes(tiles.begin) : nullptr},
                            tiles);
  }
  // In order of the list, so that a row's sum does not depend on what other rows chose.
  const int64_t first = tiles.begin * kInt4TileRows, width = std::min(tiles.end * kInt4TileRows, dim) - first;
  for (int64_t r = 0; r < work.rows; ++r) std::fill_n(work.sum + r * dim + first, width, 0.0f);
  for (size_t pair = 0; pair < work.pairs.rows.size(); ++pair) {
    const float weight = work.pairs.weights[pair];
    const float* from = y + pair_place_[pair] * dim + first;
    float* to = work.sum + work.pairs.rows[pair] * dim + first;
    for (int64_t k = 0; k < width; ++k) to[k] += weight * from[k];
  }
}

void CpuExperts::Run(const CpuExpertLayer& layer, const CpuExpertPairs& pairs, const Int8Rows& x, int64_t rows,
                     float* sum) {
  const auto count = static_cast<int64_t>(pairs.experts.size());
  QNEXT_CHECK(count <= max_pairs_ && rows <= max_rows_, "as many pairs and rows as there is room for");
  if (count == 0) return std::fill_n(sum, rows * layer.down.out, 0.0f), void();
  GroupPairs(pairs);
  one_row_ = rows == 1;
  Work work = {.layer = layer, .pairs = pairs, .x = x, .rows = rows, .sum = sum, .hidden_items = 0, .items = 0};
  if (!one_row_) {
    GatherRows(pairs, x);
    work.x = {.codes = x_codes_.data(), .scales = x_scales_.data(), .sums = x_sums_.data(), .in_padded = x.in_padded};
  }
  work.hidden_items = static_cast<int64_t>(groups_.size()) * CeilDiv(layer.gate_up.out, kInt4BlockInputs);
  work.items = work.hidden_items + layer.down.tiles();
  const int64_t runs = work.hidden_items / static_cast<int64_t>(groups_.size());
  for (size_t g = 0; g < groups_.size(); ++g) hidden_left_[g].value.store(runs, std::memory_order_relaxed);
  next_item_.store(0, std::memory_order_relaxed);
  pool_.ParallelFor(pool_.threads(), 1, [&](Range /*part*/, int thread) { RunItems(work, thread); });
}

}  // namespace qnext
