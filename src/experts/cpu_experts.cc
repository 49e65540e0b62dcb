#include "experts/cpu_experts.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "kernels/gate_up.h"

namespace qnext {
namespace {

constexpr int64_t kTilesPerRun = kInt4BlockInputs / kInt4TileRows;
// How much of the work is shared out beforehand; the rest evens out what threads are slower than others.
constexpr int64_t kOwnShare = 3, kOwnOf = 4;

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

void CpuExperts::RunPart(const Work& work, int64_t part, int thread) {
  RunGateUp(work, {part * work.own_hidden, (part + 1) * work.own_hidden});
  for (int64_t item; (item = next_hidden_.fetch_add(1, std::memory_order_relaxed)) < work.hidden_items;) {
    RunGateUp(work, {item, item + 1});
  }
  RunDown(work, {part * work.own_tiles, (part + 1) * work.own_tiles}, thread);
  for (int64_t tile; (tile = next_tile_.fetch_add(1, std::memory_order_relaxed)) < work.tiles;) {
    RunDown(work, {tile, tile + 1}, thread);
  }
}

void CpuExperts::RunGateUp(const Work& work, Range items) {
  const CpuExpertLayer& layer = work.layer;
  while (items.begin < items.end) {
    const auto index = static_cast<size_t>(items.begin / work.runs);
    const Range now = {items.begin, std::min(items.end, (items.begin / work.runs + 1) * work.runs)};
    items.begin = now.end;
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
           {now.begin % work.runs, now.begin % work.runs + now.size()});
    hidden_left_[index].value.fetch_sub(now.size(), std::memory_order_release);
  }
}

// While hidden values are missing, others' and not this thread's to make, memory would have nothing to do: the codes of
// the tiles come closer meanwhile.
void CpuExperts::FetchDown(const CpuExpertLayer& layer, Range tiles) const {
  const int64_t bytes = tiles.size() * layer.down.code_bytes_per_tile();
  for (size_t g = 0; g < groups_.size(); ++g) {
    const auto* codes = DownOf(layer, groups_[g]).codes(tiles.begin);
    for (int64_t line = 0; line < bytes; line += 64) {
      if (line % 1024 == 0 && hidden_left_[groups_.size() - 1].value.load(std::memory_order_relaxed) == 0) return;
      __builtin_prefetch(codes + line, 0, 2);
    }
  }
}

Int4Matrix CpuExperts::DownOf(const CpuExpertLayer& layer, const Group& group) const {
  return {.layout = layer.down, .data = layer.base + group.expert * layer.stride + 2 * layer.gate_up.bytes()};
}

void CpuExperts::RunDown(const Work& work, Range tiles, int thread) {
  if (tiles.begin == tiles.end) return;
  const CpuExpertLayer& layer = work.layer;
  const int64_t dim = layer.down.out;
  float* y = outputs_.data() + thread * max_pairs_ * dim;
  FetchDown(layer, tiles);
  for (size_t g = 0; g < groups_.size(); ++g) {
    // Whoever is here has made its part of them; the other threads are at theirs.
    while (hidden_left_[g].value.load(std::memory_order_acquire) > 0) Pause();
    kernels_.int4_matmul_i8(
        {.weight = DownOf(layer, groups_[g]),
         .x = Hidden(layer.down, groups_[g].first),
         .y = y + groups_[g].first * dim,
         .m = groups_[g].count,
         .y_stride = dim,
         .next = g + 1 < groups_.size() ? DownOf(layer, groups_[g + 1]).codes(tiles.begin) : nullptr},
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
  const int64_t runs = CeilDiv(layer.gate_up.out, kInt4BlockInputs), threads = pool_.threads();
  const int64_t hidden_items = static_cast<int64_t>(groups_.size()) * runs, tiles = layer.down.tiles();
  Work work = {.layer = layer,
               .pairs = pairs,
               .x = x,
               .rows = rows,
               .sum = sum,
               .runs = runs,
               .hidden_items = hidden_items,
               .own_hidden = hidden_items * kOwnShare / kOwnOf / threads,
               .tiles = tiles,
               .own_tiles = tiles * kOwnShare / kOwnOf / threads};
  if (!one_row_) {
    GatherRows(pairs, x);
    work.x = {.codes = x_codes_.data(), .scales = x_scales_.data(), .sums = x_sums_.data(), .in_padded = x.in_padded};
  }
  for (size_t g = 0; g < groups_.size(); ++g) hidden_left_[g].value.store(runs, std::memory_order_relaxed);
  next_hidden_.store(threads * work.own_hidden, std::memory_order_relaxed);
  next_tile_.store(threads * work.own_tiles, std::memory_order_relaxed);
  pool_.ParallelFor(threads, 1, [&](Range part, int thread) {
    for (int64_t p = part.begin; p < part.end; ++p) RunPart(work, p, thread);
  });
}

}  // namespace qnext
