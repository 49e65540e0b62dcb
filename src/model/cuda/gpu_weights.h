// The weights of a model in a GPU's memory: the loader's pieces go through pinned buffers to the places of the plan.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "experts/expert_store.h"
#include "hw/cuda/buffers.h"
#include "hw/cuda/gpu.h"
#include "hw/cuda/handles.h"
#include "kernels/cuda/experts.h"
#include "model/cuda/weight_plan.h"
#include "model/weight_memory.h"

namespace qnext::cuda {

// Owns no weights, only the buffers on the way, which Finish gives back. Must not outlive the arenas of `places`.
class GpuWeightMemory final : public WeightMemory {
 public:
  // An embedding in host memory is written where it stays, and so are routed experts where there is a store for them
  // (null: they go to their slots).
  GpuWeightMemory(const GpuInfo& gpu, const GpuWeightPlan& plan, const GpuWeightPlaces& places,
                  EmbeddingPlace embedding, ExpertStore* store);
  ~GpuWeightMemory() override;

  Result<WeightPiece> Begin(const WeightId& id, int64_t bytes) override;
  Status Commit(const WeightPiece& piece) override;
  bool fixed_layouts() const override { return true; }

  // Before the loader: every expert's order of inputs as if it had none (act-order only).
  Status FillOrders();
  // After it: waits for all copies.
  Status Finish();

 private:
  // A pinned buffer and the stream that empties it. While in use, one thread's.
  struct Staging {
    PinnedBuffer pinned;
    std::unique_ptr<std::byte[]> large;  // pageable: a piece too large to be worth pinning memory for
    OwnedStream stream;
    std::byte* place = nullptr;  // where the piece goes
    std::byte* also = nullptr;   // and a second copy, or null
    bool in_use = false;
  };

  // Where the piece goes; null: the plan has no room for it. `also` as in Staging.
  std::byte* PlaceOf(const WeightId& id, std::byte** also) const;
  std::byte* OrderPlace(std::string_view name, std::byte** also) const;
  Result<size_t> TakeStaging(int64_t bytes);
  Staging* StagingAt(size_t index);

  const GpuInfo gpu_;
  const GpuWeightPlan& plan_;
  const GpuWeightPlaces& places_;
  const EmbeddingPlace embedding_;
  ExpertStore* const store_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Staging>> staging_;
};

// The experts of one layer, as the kernels want them.
ExpertSlots SlotsOf(const GpuWeightPlan& plan, const GpuWeightPlaces& places, int64_t moe_layer);

// Writes the map of a model whose experts are all resident.
Status FillResidentSlotMap(const GpuWeightPlan& plan, const GpuWeightPlaces& places, CUstream_st* stream);

}  // namespace qnext::cuda
