// CpuExperts: the experts of a decode step that the CPU computes, out of the store in RAM.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/thread_pool.h"
#include "kernels/kernels.h"
#include "quant/int4_matrix.h"

namespace qnext {

// The experts of one layer: each is gate, up and down packed one after the other (docs/int4-layout.md), `stride` apart.
struct CpuExpertLayer {
  const std::byte* base = nullptr;
  int64_t stride = 0;
  Int4Layout gate_up;  // [I, D]
  Int4Layout down;     // [D, I]
};

// Row `rows[i]` of the step goes through expert `experts[i]`, with weight `weights[i]`.
struct CpuExpertPairs {
  std::span<const int32_t> rows, experts;
  std::span<const float> weights;
};

// Used by the thread that owns the pool, one call at a time. Allocates when made and never after.
class CpuExperts {
 public:
  // For at most `max_pairs` pairs of `max_rows` rows, and experts no larger than `hidden` = D by `intermediate` = I.
  CpuExperts(const Kernels& kernels, ThreadPool& pool, int64_t max_rows, int64_t max_pairs, int64_t hidden,
             int64_t intermediate);

  // sum[r] = the weighted outputs of row r's pairs, added in order of the list; 0 where it has none. `x`: the
  // activations of rows 0 .. rows-1 as int8 codes. One loop over the pool's threads: whoever needs an expert's hidden
  // values waits for these, not for the end of a loop.
  void Run(const CpuExpertLayer& layer, const CpuExpertPairs& pairs, const Int8Rows& x, int64_t rows, float* sum);

 private:
  // Pairs of one expert stand together: `first` and `count` in the order of pair_order_.
  struct Group {
    int32_t expert = 0, first = 0, count = 0;
  };

  // The work of a call: runs of 32 hidden values of each group, then tiles of the output. Of both, every thread has a
  // stretch of its own (one long read, and nothing to agree on), and the rest goes to whoever comes first.
  struct Work {
    const CpuExpertLayer& layer;
    const CpuExpertPairs& pairs;
    Int8Rows x;
    int64_t rows;
    float* sum;
    int64_t runs;          // of one group
    int64_t hidden_items;  // of all groups
    int64_t own_hidden;    // of each thread
    int64_t tiles, own_tiles;
  };

  void GroupPairs(const CpuExpertPairs& pairs);
  void GatherRows(const CpuExpertPairs& pairs, const Int8Rows& x);
  // The stretch of `part`, one for each thread of the pool, and what is left over.
  void RunPart(const Work& work, int64_t part, int thread);
  // Items of the first half; they may lie in several groups.
  void RunGateUp(const Work& work, Range items);
  void RunDown(const Work& work, Range tiles, int thread);
  void FetchDown(const CpuExpertLayer& layer, Range tiles) const;
  Int4Matrix DownOf(const CpuExpertLayer& layer, const Group& group) const;
  // Rows `first` and on of the hidden values.
  Int8Rows Hidden(const Int4Layout& down, int64_t first);

  const Kernels& kernels_;
  ThreadPool& pool_;
  const int64_t max_rows_, max_pairs_, intermediate_;
  std::vector<Group> groups_;
  std::vector<int32_t> pair_order_;  // [pairs] the places in the list, by group
  std::vector<int32_t> pair_place_;  // [pairs] the inverse
  bool one_row_ = false;             // of the call: every expert reads the step's only row
  // What no thread has taken of the rest of each half.
  alignas(64) std::atomic<int64_t> next_hidden_{0};
  alignas(64) std::atomic<int64_t> next_tile_{0};
  // By group: items of the first half that are not finished.
  struct alignas(64) Counter {
    std::atomic<int64_t> value{0};
  };
  std::unique_ptr<Counter[]> hidden_left_;
  AlignedBuffer<int8_t> x_codes_, hidden_codes_;
  AlignedBuffer<float> x_scales_, hidden_scales_;
  AlignedBuffer<float> gate_, up_;  // [max_pairs, I]
  AlignedBuffer<float> outputs_;    // [threads, max_pairs, D] by group, of the tile that the thread is at
  AlignedBuffer<int32_t> x_sums_, hidden_sums_;
};

}  // namespace qnext
