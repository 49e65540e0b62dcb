#include "experts/cpu_experts.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "kernels/gate_up.h"

namespace qnext {
namespace {

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

void CpuExperts::RunGateUp(const CpuExpertLayer& layer, const Int8Rows& x, Range part) {
  const int64_t runs = CeilDiv(layer.gate_up.out, kInt4BlockInputs);
  for (int64_t item = part.begin; item < part.end; ++item) {
    const Group& group = groups_[static_cast<size_t>(item / runs)];
    const std::byte* expert = layer.base + group.expert * layer.stride;
    const Int8Rows rows = one_row_ ? x : RowsFrom(x, group.first);
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
           {item % runs, item % runs + 1});
  }
}

void CpuExperts::RunDown(const CpuExpertLayer& layer, const CpuExpertPairs& pairs, int64_t rows, Range tiles, int thread,
                         float* sum) {
  const int64_t dim = layer.down.out;
  float* y = outputs_.data() + thread * max_pairs_ * dim;
  for (int64_t tile = tiles.begin; tile < tiles.end; ++tile) {
    const int64_t first = tile * kInt4TileRows, width = std::min(kInt4TileRows, dim - first);
    for (int64_t r = 0; r < rows; ++r) std::fill_n(sum + r * dim + first, width, 0.0f);
    for (const Group& group : groups_) {
      const std::byte* expert = layer.base + group.expert * layer.stride;
      kernels_.int4_matmul_i8({.weight = {.layout = layer.down, .data = expert + 2 * layer.gate_up.bytes()},
                               .x = Hidden(layer.down, group.first),
                               .y = y + group.first * dim,
                               .m = group.count,
                               .y_stride = dim},
                              {tile, tile + 1});
    }
    // In order of the list, so that a row's sum does not depend on what other rows chose.
    for (size_t pair = 0; pair < pairs.rows.size(); ++pair) {
      const float weight = pairs.weights[pair];
      const float* from = y + pair_place_[pair] * dim + first;
      float* to = sum + pairs.rows[pair] * dim + first;
      for (int64_t k = 0; k < width; ++k) to[k] += weight * from[k];
    }
  }
}

void CpuExperts::Run(const CpuExpertLayer& layer, const CpuExpertPairs& pairs, const Int8Rows& x, int64_t rows,
                     float* sum) {
  const auto count = static_cast<int64_t>(pairs.experts.size());
  QNEXT_CHECK(count <= max_pairs_ && rows <= max_rows_, "as many pairs and rows as there is room for");
  GroupPairs(pairs);
  one_row_ = rows == 1;
  Int8Rows inputs = x;
  if (!one_row_) {
    GatherRows(pairs, x);
    inputs = {.codes = x_codes_.data(), .scales = x_scales_.data(), .sums = x_sums_.data(), .in_padded = x.in_padded};
  }
  const int64_t hidden_items = static_cast<int64_t>(groups_.size()) * CeilDiv(layer.gate_up.out, kInt4BlockInputs);
  hidden_done_.store(0, std::memory_order_relaxed);
  // Items are handed out in order: whoever gets one of the second half may wait for the first, which others work on.
  pool_.ParallelFor(hidden_items + layer.down.tiles(), 1, [&](Range part, int thread) {
    for (int64_t item = part.begin; item < part.end; ++item) {
      if (item < hidden_items) {
        RunGateUp(layer, inputs, {item, item + 1});
        hidden_done_.fetch_add(1, std::memory_order_release);
        continue;
      }
      while (hidden_done_.load(std::memory_order_acquire) < hidden_items) Pause();
      RunDown(layer, pairs, rows, {item - hidden_items, item - hidden_items + 1}, thread, sum);
    }
  });
}

}  // namespace qnext
