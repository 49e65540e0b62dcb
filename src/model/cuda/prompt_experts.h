// PromptExperts: the experts of a prompt's block where VRAM does not hold all. What is cached runs where it is; the
// rest streams from RAM through a few slots, the next chunk while the last one computes.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "hw/cuda/handles.h"
#include "kernels/cuda/experts.h"
#include "model/cuda/hybrid_experts.h"

namespace qnext::cuda {

// One thread at a time. The cache must not change while a block is under way.
class PromptExperts {
 public:
  // All must outlive this.
  static Result<std::unique_ptr<PromptExperts>> Make(const GpuWeightPlan& plan, const GpuWeightPlaces& weights,
                                                     const HybridPlaces& places, const HybridMail& mail,
                                                     HybridExperts& experts, CUstream_st* stream);
  ~PromptExperts();

  // The layer's experts over m rows: args.out gets the weighted sums. args.entry_slots hold experts' own numbers, the
  // shared expert's is E. Reads back which experts are used where that saves copies, which waits for the stream.
  Status Run(int64_t layer, int64_t top, const ExpertsArgs& args, const ExpertGroupsScratch& groups);

  // After the stream has run dry: adds how often the block's rows chose each expert to `counts` [layers, E].
  void Count(std::span<int32_t> counts) const;

 private:
  struct Chunk {
    OwnedEvent copied, computed;
    bool used = false;
  };

  PromptExperts(const GpuWeightPlan& plan, const GpuWeightPlaces& weights, const HybridPlaces& places,
                const HybridMail& mail, HybridExperts& experts, CUstream_st* stream);

  // [E + 1] where the experts of part `part` of the layer are: in mapped memory, and on the device.
  int32_t* PartSlots(int64_t layer, int64_t part) const;
  const int32_t* DevicePartSlots(int64_t layer, int64_t part) const;
  // Fills the parts of a layer, with missing_ in the chunks that come next, and uploads them; gives their number.
  Result<int64_t> PlaceParts(int64_t layer, const ExpertGroupsScratch& groups);
  std::span<const int32_t> Missing(int64_t part) const;
  int32_t FirstSlot(int64_t chunk) const;
  // The experts of a part into the next chunk; the stream waits for them.
  Status StreamChunk(int64_t layer, std::span<const int32_t> experts);

  const GpuWeightPlan& plan_;
  const GpuWeightPlaces& weights_;
  const HybridPlaces& places_;
  const HybridMail& mail_;
  HybridExperts& experts_;
  CUstream_st* const stream_;
  OwnedStream copy_stream_;
  std::vector<Chunk> chunks_;  // plan_.stream_slots() / kStreamChunk
  int64_t next_chunk_ = 0;
  std::vector<int32_t> missing_;
};

}  // namespace qnext::cuda
