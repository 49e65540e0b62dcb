// HybridExperts: the routed experts of a model that VRAM holds only in part. All are in RAM; slots hold copies of those
// that are used most. In a decode step hits run on the GPU, some misses are fetched by it, and the CPU computes the
// rest. docs/expert-cache.md
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "experts/cpu_experts.h"
#include "experts/expert_cache.h"
#include "experts/expert_store.h"
#include "experts/split_policy.h"
#include "hw/cuda/chunked_range.h"
#include "hw/cuda/handles.h"
#include "hw/cuda/pinned_range.h"
#include "kernels/cuda/router.h"
#include "model/cuda/hybrid_places.h"
#include "model/cuda/upload_thread.h"
#include "model/cuda/weight_plan.h"
#include "model/expert_stats.h"

namespace qnext::cuda {

// Blocks of a fetch within a step: enough loads under way for any link. Fewer make a slow link of a fast one.
inline constexpr int64_t kFetchBlocks = 32;

struct HybridOptions {
  const Kernels* kernels = nullptr;  // of the CPU's experts
  ThreadPool* pool = nullptr;        // whose first thread calls; must outlive the model
  int64_t rows = 1;                  // the most of a step
  // Experts of each layer that a step may fetch, always; absent: what has been measured decides.
  std::optional<int64_t> fixed_fetch;
  int64_t fetch_blocks = kFetchBlocks;                             // of the kernel that fetches, within a step
  bool pin = true;                                                 // false: as where the system refuses to
  bool promotions = true;                                          // false: what is cached stays
  std::chrono::nanoseconds wait_limit = std::chrono::seconds(10);  // of the GPU, for the CPU's part of a layer
  std::function<void(int64_t layer)> before_serving;               // for tests of faults
};

// One thread at a time. Launches go into the stream of the model; nothing here allocates or synchronises during a step
// but Serve and EndStep, which await what the step itself makes.
class HybridExperts {
 public:
  // Takes over the store, which has been filled. `slots` must outlive it: its chunks from 1 on are those of the cache,
  // of which the first `mapped` are mapped.
  static Result<std::unique_ptr<HybridExperts>> Make(const GpuInfo& gpu, const ModelConfig& config,
                                                     const GpuWeightPlan& plan, const HybridOptions& options,
                                                     const GpuWeightPlaces& weights, const HybridPlaces& places,
                                                     const HybridMail& mail, ExpertStore store, ChunkedRange& slots,
                                                     CUstream_st* stream);

  const ExpertStore& store() const { return store_; }
  const ExpertStats& stats() const { return stats_; }
  const ExpertCache& cache() const { return cache_; }
  bool pinned() const { return pinned_.complete(); }

  // The slot that an expert can be read from between steps; -1: none.
  int32_t CachedSlot(int64_t layer, int64_t expert) const;
  // `count` experts from `first` on, into GPU memory, in order with the stream.
  Status CopyToGpu(std::byte* to, int64_t layer, int64_t first, int64_t count, CUstream_st* stream) const;

  // Launches of a step: first, and in each layer in this order.
  Status LaunchBegin() const;
  ExpertPlacement Placement(int64_t layer) const;
  ExpertLists Lists(int64_t layer) const;
  ExpertPost Post(int64_t layer, const uint32_t* step, const Int8Rows& rows) const;
  Status LaunchFetch(int64_t layer) const;
  Status LaunchAwait(int64_t layer, const uint32_t* step, int64_t m, float* out) const;

  // A step of m rows, by the host: PrepareStep, then the launches, then Serve for each layer in order, then EndStep
  // when the step's results are there. What can wait is done after the next step's launch, in its first Serve. After an
  // error AbortStep, which frees the GPU of its waiting; the stream must run dry before the next step.
  Status PrepareStep();
  Status Serve(int64_t layer, uint32_t step, int64_t m);
  Status EndStep(int64_t m);
  void AbortStep();
  // Ends AbortStep's state.
  void Recover();

  // Fills the cache with experts of all layers alike.
  Status FillCache();
  // What a prompt of `tokens` tokens used, [layers, E].
  Status Seed(std::span<const int32_t> counts, int64_t tokens);
  // Waits for promotions.
  Status FinishUploads();

  // Between steps: unmaps chunks of the cache, those worth least first, until no more than `bytes` are mapped, or maps
  // what fits into them. Waits for all copies and for the stream. An error of mapping leaves what there is.
  Status ResizeCache(int64_t bytes);
  int64_t cache_bytes() const { return slots_.mapped_bytes() - slots_.chunk_bytes(0); }
  static constexpr int64_t kFirstCacheChunk = 1;  // of the range: before it lies what never leaves

 private:
  HybridExperts(const ModelConfig& config, const GpuWeightPlan& plan, const HybridOptions& options,
                const GpuWeightPlaces& weights, const HybridPlaces& places, const HybridMail& mail, ExpertStore store,
                ChunkedRange& slots, CUstream_st* stream);

  Status StartUploads(const UploadBatch& batch);
  Status ShrinkCache(int64_t bytes);
  Status GrowCache(int64_t bytes);
  // What EndStep has left over.
  Status FinishBookkeeping();
  // Takes note of batches that have arrived; with `wait` of all.
  Status CollectUploads(bool wait);

  const GpuWeightPlan& plan_;
  const HybridOptions options_;
  const GpuWeightPlaces& weights_;
  const HybridPlaces& places_;
  const HybridMail& mail_;
  const int64_t top_;
  ExpertStore store_;
  ChunkedRange& slots_;
  PinnedRange pinned_;
  CUstream_st* const stream_;
  std::unique_ptr<UploadThread> uploads_;
  std::vector<ExpertCopy> copies_;
  std::optional<UploadBatch> late_;  // of the last EndStep, not started yet
  bool observed_ = true;             // the last step's times

  ExpertCache cache_;
  SplitPolicy split_;
  CpuExperts cpu_;
  ExpertStats stats_;
  int64_t cache_step_ = 0;
  bool in_step_ = false;
  std::chrono::steady_clock::time_point launched_, ended_;
  std::vector<LayerServing> servings_;
  std::vector<int32_t> choices_;  // [layers, m * top]
  std::vector<FetchedExpert> fetched_;
};

}  // namespace qnext::cuda
