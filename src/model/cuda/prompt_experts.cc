#include "model/cuda/prompt_experts.h"

#include <cuda_runtime_api.h>

#include <algorithm>

#include "hw/cuda/cuda_status.h"
#include "hw/cuda/wait.h"
#include "kernels/cuda/hybrid.h"
#include "model/cuda/gpu_context.h"

namespace qnext::cuda {
namespace {

// Rows whose choices, were they independent, leave one expert in e^4 unused: then asking which they are does not pay.
constexpr int64_t kAllUsed = 4;

}  // namespace

PromptExperts::PromptExperts(const GpuWeightPlan& plan, const GpuWeightPlaces& weights, const HybridPlaces& places,
                             const HybridMail& mail, HybridExperts& experts, CUstream_st* stream)
    : plan_(plan), weights_(weights), places_(places), mail_(mail), experts_(experts), stream_(stream) {
  missing_.reserve(static_cast<size_t>(plan.num_experts()));
}

Result<std::unique_ptr<PromptExperts>> PromptExperts::Make(const GpuWeightPlan& plan, const GpuWeightPlaces& weights,
                                                           const HybridPlaces& places, const HybridMail& mail,
                                                           HybridExperts& experts, CUstream_st* stream) {
  std::unique_ptr<PromptExperts> made(new PromptExperts(plan, weights, places, mail, experts, stream));
  QNEXT_ASSIGN_OR_RETURN(made->copy_stream_, MakeStream());
  made->chunks_.resize(static_cast<size_t>(plan.stream_slots() / kStreamChunk));
  for (Chunk& chunk : made->chunks_) {
    QNEXT_ASSIGN_OR_RETURN(chunk.copied, MakeEvent(EventKind::kOrder));
    QNEXT_ASSIGN_OR_RETURN(chunk.computed, MakeEvent(EventKind::kOrder));
  }
  return made;
}

PromptExperts::~PromptExperts() {
  if (copy_stream_ != nullptr) cudaStreamSynchronize(copy_stream_.get());
}

int32_t* PromptExperts::PartSlots(int64_t layer, int64_t part) const {
  const int64_t experts = plan_.num_experts();
  return mail_.part_slots + (layer * HybridPlaces::Parts(experts) + part) * (experts + 1);
}

const int32_t* PromptExperts::DevicePartSlots(int64_t layer, int64_t part) const {
  return places_.part_slots + (PartSlots(layer, part) - mail_.part_slots);
}

std::span<const int32_t> PromptExperts::Missing(int64_t part) const {
  const auto first = static_cast<size_t>((part - 1) * kStreamChunk);
  return std::span(missing_).subspan(first, std::min<size_t>(missing_.size() - first, kStreamChunk));
}

int32_t PromptExperts::FirstSlot(int64_t chunk) const {
  return static_cast<int32_t>(plan_.first_stream_slot() + chunk * kStreamChunk);
}

Result<int64_t> PromptExperts::PlaceParts(int64_t layer, const ExpertGroupsScratch& groups) {
  const int64_t experts = plan_.num_experts(), chunks = static_cast<int64_t>(chunks_.size());
  const int64_t parts = 1 + CeilDiv(static_cast<int64_t>(missing_.size()), kStreamChunk);
  int32_t* cached = PartSlots(layer, 0);
  for (int64_t e = 0; e < experts; ++e) cached[e] = experts_.CachedSlot(layer, e);
  cached[experts] = groups.shared_slot >= 0 ? static_cast<int32_t>(plan_.SharedSlot(layer)) : -1;
  for (int64_t part = 1; part < parts; ++part) {
    int32_t* slots = PartSlots(layer, part);
    std::fill_n(slots, experts + 1, -1);
    int32_t slot = FirstSlot((next_chunk_ + part - 1) % chunks);
    for (const int32_t expert : Missing(part)) slots[expert] = slot++;
  }
  QNEXT_RETURN_IF_ERROR(
      LaunchCopyWords(cached, places_.part_slots + (cached - mail_.part_slots), parts * (experts + 1), stream_));
  return parts;
}

Status PromptExperts::StreamChunk(int64_t layer, std::span<const int32_t> experts) {
  Chunk& chunk = chunks_[static_cast<size_t>(next_chunk_)];
  const int32_t first = FirstSlot(next_chunk_);
  if (chunk.used) {
    QNEXT_RETURN_IF_ERROR(
        ToStatus(cudaStreamWaitEvent(copy_stream_.get(), chunk.computed.get(), 0), "a chunk of experts"));
  }
  const int64_t stride = plan_.slot_stride();
  for (size_t i = 0; i < experts.size();) {
    // Neighbours in RAM are neighbours in the chunk.
    size_t end = i + 1;
    while (end < experts.size() && experts[end] == experts[end - 1] + 1) ++end;
    QNEXT_RETURN_IF_ERROR(experts_.CopyToGpu(weights_.expert_slots + (first + static_cast<int64_t>(i)) * stride, layer,
                                             experts[i], static_cast<int64_t>(end - i), copy_stream_.get()));
    i = end;
  }
  QNEXT_RETURN_IF_ERROR(ToStatus(cudaEventRecord(chunk.copied.get(), copy_stream_.get()), "a chunk of experts"));
  return ToStatus(cudaStreamWaitEvent(stream_, chunk.copied.get(), 0), "a chunk of experts");
}

Status PromptExperts::Run(int64_t layer, int64_t top, const ExpertsArgs& args, const ExpertGroupsScratch& groups) {
  const int64_t experts = plan_.num_experts();
  QNEXT_RETURN_IF_ERROR(LaunchExpertsGroups(args, groups, stream_));
  int32_t* ends = mail_.group_ends + layer * (experts + 1);
  QNEXT_RETURN_IF_ERROR(ToStatus(
      cudaMemcpyAsync(ends, groups.counts, static_cast<size_t>(experts + 1) * 4, cudaMemcpyDeviceToHost, stream_),
      "counts of experts"));
  const bool all_used = args.m * top >= kAllUsed * experts;
  if (!all_used) QNEXT_RETURN_IF_ERROR(Synchronize(stream_, kBlockLimit, "prefill"));
  missing_.clear();
  for (int64_t e = 0; e < experts; ++e) {
    const bool used = all_used || ends[e] > (e == 0 ? 0 : ends[e - 1]);
    if (used && experts_.CachedSlot(layer, e) < 0) missing_.push_back(static_cast<int32_t>(e));
  }

  QNEXT_ASSIGN_OR_RETURN(const int64_t parts, PlaceParts(layer, groups));
  QNEXT_RETURN_IF_ERROR(LaunchExpertsGroupedPart(args, groups, DevicePartSlots(layer, 0), stream_));
  for (int64_t part = 1; part < parts; ++part) {
    QNEXT_RETURN_IF_ERROR(StreamChunk(layer, Missing(part)));
    QNEXT_RETURN_IF_ERROR(LaunchExpertsGroupedPart(args, groups, DevicePartSlots(layer, part), stream_));
    Chunk& chunk = chunks_[static_cast<size_t>(next_chunk_)];
    QNEXT_RETURN_IF_ERROR(ToStatus(cudaEventRecord(chunk.computed.get(), stream_), "a chunk of experts"));
    chunk.used = true;
    next_chunk_ = (next_chunk_ + 1) % static_cast<int64_t>(chunks_.size());
  }
  return LaunchExpertsCombine(args, groups, stream_);
}

void PromptExperts::Count(std::span<int32_t> counts) const {
  const int64_t experts = plan_.num_experts();
  for (int64_t layer = 0; layer < plan_.layers(); ++layer) {
    const int32_t* ends = mail_.group_ends + layer * (experts + 1);
    for (int64_t e = 0; e < experts; ++e) {
      counts[static_cast<size_t>(layer * experts + e)] += ends[e] - (e == 0 ? 0 : ends[e - 1]);
    }
  }
}

}  // namespace qnext::cuda
