#include "model/cuda/gpu_weights.h"

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <charconv>
#include <cstring>
#include <numeric>

#include "base/check.h"
#include "hw/cuda/cuda_status.h"

namespace qnext::cuda {
namespace {

// Holds an expert of the 80B; most of the bytes of a checkpoint are such pieces.
constexpr int64_t kStagingBytes = int64_t{4} << 20;
constexpr int64_t kInPlace = -1;  // WeightPiece::note of a piece that is written where it stays

// The number that follows `key` in `name`; -1 if there is none.
int64_t NumberAfter(std::string_view name, std::string_view key) {
  const size_t at = name.find(key);
  int64_t number = -1;
  if (at != std::string_view::npos) {
    std::from_chars(name.data() + at + key.size(), name.data() + name.size(), number);
  }
  return number;
}

}  // namespace

GpuWeightMemory::GpuWeightMemory(const GpuInfo& gpu, const GpuWeightPlan& plan, const GpuWeightPlaces& places,
                                 EmbeddingPlace embedding, ExpertStore* store)
    : gpu_(gpu), plan_(plan), places_(places), embedding_(embedding), store_(store) {}

GpuWeightMemory::~GpuWeightMemory() {
  for (const auto& staging : staging_) cudaStreamSynchronize(staging->stream.get());
}

std::byte* GpuWeightMemory::OrderPlace(std::string_view name, std::byte** also) const {
  const int64_t layer = NumberAfter(name, "model.layers.");
  const int64_t moe_layer = plan_.moe_layer(layer);
  int64_t expert = NumberAfter(name, ".mlp.experts.");
  if (expert < 0 && (!plan_.shared_in_slots() || name.find(".mlp.shared_expert.") == std::string_view::npos)) {
    return nullptr;
  }
  if (expert < 0) expert = plan_.num_experts();
  if (moe_layer < 0 || !plan_.experts()[static_cast<size_t>(moe_layer)].ordered) return nullptr;
  const int64_t at = (moe_layer * (plan_.num_experts() + 1) + expert) * plan_.hidden_size();
  auto* gate = reinterpret_cast<std::byte*>(places_.gate_orders + at);
  auto* up = reinterpret_cast<std::byte*>(places_.up_orders + at);
  if (name.ends_with(".up_proj.g_idx")) return up;
  *also = up;  // until up_proj says otherwise: it mostly has the order of gate_proj
  return gate;
}

std::byte* GpuWeightMemory::PlaceOf(const WeightId& id, std::byte** also) const {
  const int64_t moe_layer = id.layer >= 0 ? plan_.moe_layer(id.layer) : -1;
  if (id.role == WeightRole::kRoutedExpert) {
    if (store_ != nullptr) return store_->Expert(moe_layer, id.expert);
    return places_.expert_slots + plan_.ResidentSlot(moe_layer, id.expert) * plan_.slot_stride();
  }
  if (id.role == WeightRole::kSharedExpert && plan_.shared_in_slots() && moe_layer >= 0) {
    return places_.expert_slots + plan_.SharedSlot(moe_layer) * plan_.slot_stride();
  }
  if (const auto found = places_.weights.find(std::string(id.name)); found != places_.weights.end()) {
    return found->second;
  }
  return id.name.ends_with(".g_idx") ? OrderPlace(id.name, also) : nullptr;
}

Result<size_t> GpuWeightMemory::TakeStaging(int64_t bytes) {
  size_t index = 0;
  {
    std::lock_guard lock(mutex_);
    while (index < staging_.size() && staging_[index]->in_use) ++index;
    if (index == staging_.size()) staging_.push_back(std::make_unique<Staging>());
    staging_[index]->in_use = true;
  }
  Staging& staging = *StagingAt(index);  // this thread's own while in use
  if (staging.stream == nullptr) {
    QNEXT_ASSIGN_OR_RETURN(staging.stream, MakeStream());
    QNEXT_ASSIGN_OR_RETURN(staging.pinned, PinnedBuffer::Allocate(kStagingBytes, "buffers for loading"));
  }
  QNEXT_RETURN_IF_ERROR(ToStatus(cudaStreamSynchronize(staging.stream.get()), "loading weights"));
  staging.large.reset();
  if (bytes > kStagingBytes)
    staging.large = std::make_unique_for_overwrite<std::byte[]>(static_cast<size_t>(bytes) + 64);
  return index;
}

Result<WeightPiece> GpuWeightMemory::Begin(const WeightId& id, int64_t bytes) {
  std::byte* also = nullptr;
  std::byte* place = PlaceOf(id, &also);
  if (place == nullptr) {
    return Unsupported(
        fmt::format("{}: the inputs have an order although the configuration says desc_act false; the "
                    "CUDA engine has no room for it",
                    id.name));
  }
  if ((id.role == WeightRole::kEmbedding && embedding_ == EmbeddingPlace::kHostMemory) ||
      (id.role == WeightRole::kRoutedExpert && store_ != nullptr)) {
    return WeightPiece{.staging = place, .place = place, .bytes = bytes, .note = kInPlace};
  }
  QNEXT_RETURN_IF_ERROR(UseGpu(gpu_));
  QNEXT_ASSIGN_OR_RETURN(const size_t index, TakeStaging(bytes));
  Staging& staging = *StagingAt(index);
  staging.place = place;
  staging.also = also;
  std::byte* data = staging.pinned.data();
  if (staging.large != nullptr) {
    data = reinterpret_cast<std::byte*>(RoundUp(reinterpret_cast<intptr_t>(staging.large.get()), 64));
  }
  return WeightPiece{.staging = data, .place = place, .bytes = bytes, .note = static_cast<int64_t>(index)};
}

Status GpuWeightMemory::Commit(const WeightPiece& piece) {
  if (piece.note == kInPlace) return Status();
  Staging& staging = *StagingAt(static_cast<size_t>(piece.note));
  const auto copy = [&](std::byte* to) {
    return ToStatus(cudaMemcpyAsync(to, piece.staging, static_cast<size_t>(piece.bytes), cudaMemcpyHostToDevice,
                                    staging.stream.get()),
                    "loading weights");
  };
  QNEXT_RETURN_IF_ERROR(copy(staging.place));
  if (staging.also != nullptr) {
    // The second copy may be overwritten by the next piece of this thread, which has a stream of its own.
    QNEXT_RETURN_IF_ERROR(copy(staging.also));
    QNEXT_RETURN_IF_ERROR(ToStatus(cudaStreamSynchronize(staging.stream.get()), "loading weights"));
  }
  std::lock_guard lock(mutex_);
  staging.in_use = false;
  return Status();
}

GpuWeightMemory::Staging* GpuWeightMemory::StagingAt(size_t index) {
  std::lock_guard lock(mutex_);
  return staging_[index].get();
}

Status GpuWeightMemory::FillOrders() {
  if (!plan_.ordered_experts()) return Status();
  std::vector<int32_t> plain(static_cast<size_t>(plan_.hidden_size()));
  std::iota(plain.begin(), plain.end(), 0);
  const int64_t rows = static_cast<int64_t>(plan_.experts().size()) * (plan_.num_experts() + 1);
  for (int64_t row = 0; row < rows; ++row) {
    for (int32_t* orders : {places_.gate_orders, places_.up_orders}) {
      QNEXT_RETURN_IF_ERROR(ToStatus(
          cudaMemcpy(orders + row * plan_.hidden_size(), plain.data(), plain.size() * 4, cudaMemcpyHostToDevice),
          "orders of experts"));
    }
  }
  return ToStatus(cudaDeviceSynchronize(), "orders of experts");  // the loader has streams of its own
}

Status GpuWeightMemory::Finish() {
  for (const auto& staging : staging_) {
    QNEXT_RETURN_IF_ERROR(ToStatus(cudaStreamSynchronize(staging->stream.get()), "loading weights"));
  }
  staging_.clear();
  return Status();
}

ExpertSlots SlotsOf(const GpuWeightPlan& plan, const GpuWeightPlaces& places, int64_t moe_layer) {
  const ExpertLayout& layout = plan.experts()[static_cast<size_t>(moe_layer)];
  return {.base = places.expert_slots, .stride = plan.slot_stride(), .gate_up = layout.gate_up, .down = layout.down};
}

Status FillResidentSlotMap(const GpuWeightPlan& plan, const GpuWeightPlaces& places, CUstream_st* stream) {
  const int64_t layers = static_cast<int64_t>(plan.experts().size());
  std::vector<int32_t> map(static_cast<size_t>(layers * plan.num_experts()));
  for (int64_t layer = 0; layer < layers; ++layer) {
    for (int64_t e = 0; e < plan.num_experts(); ++e) {
      map[static_cast<size_t>(layer * plan.num_experts() + e)] = static_cast<int32_t>(plan.ResidentSlot(layer, e));
    }
  }
  if (map.empty()) return Status();
  return ToStatus(cudaMemcpyAsync(places.slot_map, map.data(), map.size() * 4, cudaMemcpyHostToDevice, stream),
                  "slot map");
}

}  // namespace qnext::cuda
