// Where the weights of a model go when a GPU runs it, from names, shapes and formats alone: before a byte of them is
// read, and for machines without a GPU.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/arena.h"
#include "base/range.h"
#include "base/status.h"
#include "checkpoint/tensor_source.h"
#include "config/model_config.h"
#include "model/weight_memory.h"
#include "plan/expert_slots.h"
#include "plan/weight_sizes.h"
#include "quant/int4_matrix.h"

namespace qnext {

// Where the table of embedding rows is read from. A step reads one row of it.
enum class EmbeddingPlace : uint8_t { kVram, kHostMemory };

// The experts of one MoE layer. All have one layout, and so has the shared expert where it has a slot.
struct ExpertLayout {
  Int4Layout gate_up;  // [I, D]
  Int4Layout down;     // [D, I]
  // Act-order: gate (and up, if it differs) reads its inputs in an order of its own for each expert.
  bool ordered = false;

  int64_t bytes() const { return 2 * gate_up.bytes() + down.bytes(); }
};

struct PlannedWeight {
  std::string name;  // as WeightId has it
  WeightRole role = WeightRole::kLinear;
  int64_t bytes = 0;
};

class GpuWeightPlan {
 public:
  // kUnsupported, beginning with the module, for what the GPU's kernels cannot run. `source` need only know its
  // tensors, not read them.
  static Result<GpuWeightPlan> Make(const TensorSource& source, const ModelConfig& config,
                                    DenseWeights dense = DenseWeights::kStored);

  // Everything but the slots of the experts, in the order of the tensor list.
  const std::vector<PlannedWeight>& weights() const { return weights_; }
  const std::vector<ExpertLayout>& experts() const { return experts_; }  // by MoE layer

  int64_t num_experts() const { return num_experts_; }
  bool shared_in_slots() const { return shared_in_slots_; }
  bool ordered_experts() const { return ordered_experts_; }
  int64_t slots_per_layer() const { return num_experts_ + (shared_in_slots_ ? 1 : 0); }
  int64_t slot_stride() const { return slot_stride_; }  // bytes
  int64_t hidden_size() const { return hidden_size_; }

  // Either all experts are in VRAM, or it has slots for some of them and the store in RAM has all. The slots then are:
  // one for each layer's shared expert (where these have slots), those that a prompt's experts stream through, and
  // those of the cache, which come last because their memory can be given back, chunk by chunk. The stride of slots
  // becomes the geometry's.
  struct Slots {
    int64_t cache = 0, stream = 0;
  };
  void UseCache(const Slots& slots, const SlotGeometry& geometry) {
    cached_ = slots;
    geometry_ = geometry;
    slot_stride_ = geometry.stride;
  }
  const SlotGeometry& geometry() const { return geometry_; }
  bool all_resident() const { return !cached_.has_value(); }
  int64_t first_stream_slot() const { return shared_in_slots_ ? layers() : 0; }
  int64_t stream_slots() const { return cached_ ? cached_->stream : 0; }
  int64_t first_cache_slot() const { return first_stream_slot() + stream_slots(); }
  int64_t cache_slots() const { return cached_ ? cached_->cache : 0; }
  int64_t slots() const { return all_resident() ? layers() * slots_per_layer() : first_cache_slot() + cache_slots(); }
  // Whole pages: what lies before the cache, and chunks of it. The cache begins on a page, the slots before it end
  // there.
  int64_t fixed_slot_bytes() const { return geometry_.BytesFor(first_cache_slot()); }
  int64_t cache_chunks() const { return CeilDiv(cache_slots(), std::max<int64_t>(1, geometry_.slots_per_chunk)); }
  int64_t chunk_slots(int64_t chunk) const {
    return std::min(geometry_.slots_per_chunk, cache_slots() - chunk * geometry_.slots_per_chunk);
  }
  int64_t layers() const { return static_cast<int64_t>(experts_.size()); }
  // The slot of a routed expert when all are resident.
  int64_t ResidentSlot(int64_t moe_layer, int64_t expert) const { return moe_layer * slots_per_layer() + expert; }
  // The slot of a layer's shared expert, where these have slots.
  int64_t SharedSlot(int64_t moe_layer) const {
    return all_resident() ? ResidentSlot(moe_layer, num_experts_) : moe_layer;
  }
  // The MoE layer of a layer, or -1.
  int64_t moe_layer(int64_t layer) const { return moe_layers_[static_cast<size_t>(layer)]; }

 private:
  GpuWeightPlan() = default;
  friend class WeightPlanner;

  std::vector<PlannedWeight> weights_;
  std::vector<ExpertLayout> experts_;
  std::vector<int64_t> moe_layers_;  // [num_layers]
  int64_t num_experts_ = 0, slot_stride_ = 0, hidden_size_ = 0;
  bool shared_in_slots_ = false, ordered_experts_ = false;
  std::optional<Slots> cached_;
  SlotGeometry geometry_;
};

// Room for all of a plan, or its size. Pointers are null while an arena counts.
struct GpuWeightPlaces {
  std::unordered_map<std::string, std::byte*> weights;  // by name, the embedding too
  // [slots] of slot_stride. Where not all experts are in VRAM, the slots lie in a range of their own, and whoever
  // reserves it sets this.
  std::byte* expert_slots = nullptr;
  int32_t* slot_map = nullptr;  // [moe layers, E] the slot of each expert, or -1
  // Act-order only: the inputs of gate_proj and up_proj of every expert, in its order; the shared expert is the last.
  int32_t* gate_orders = nullptr;  // [moe layers, E + 1, D]
  int32_t* up_orders = nullptr;    // the same

  static GpuWeightPlaces LayOut(const GpuWeightPlan& plan, EmbeddingPlace embedding, Arena& vram, Arena& host);
};

}  // namespace qnext
