#include "model/cuda/prompt_experts.h"

#include <cuda_runtime_api.h>

#include <algorithm>

#include "hw/cuda/cuda_status.h"
#include "hw/cuda/wait.h"
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

Result<const int32_t*> PromptExperts::Upload(int64_t layer, int64_t part) const {
  const int32_t* from = PartSlots(layer, part);
  int32_t* to = places_.part_slots + (from - mail_.part_slots);
  QNEXT_RETURN_IF_ERROR(ToStatus(
      cudaMemcpyAsync(to, from, static_cast<size_t>(plan_.num_experts() + 1) * 4, cudaMemcpyHostToDevice, stream_),
      "places of experts"));
  return to;
}

Status PromptExperts::StreamChunk(int64_t layer, std::span<const int32_t> experts, int32_t* slots) {
  Chunk& chunk = chunks_[static_cast<size_t>(next_chunk_)];
  const auto first = static_cast<int32_t>(plan_.first_stream_slot() + next_chunk_ * kStreamChunk);
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
    for (; i < end; ++i) slots[experts[i]] = first + static_cast<int32_t>(i);
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
  const auto used = [&](int64_t e) { return all_used || ends[e] > (e == 0 ? 0 : ends[e - 1]); };

  int32_t* cached = PartSlots(layer, 0);
  missing_.clear();
  for (int64_t e = 0; e < experts; ++e) {
    const int32_t slot = experts_.CachedSlot(layer, e);
    cached[e] = slot;
    if (slot < 0 && used(e)) missing_.push_back(static_cast<int32_t>(e));
  }
  cached[experts] = groups.shared_slot >= 0 ? static_cast<int32_t>(plan_.SharedSlot(layer)) : -1;
  QNEXT_ASSIGN_OR_RETURN(const int32_t* slots, Upload(layer, 0));
  QNEXT_RETURN_IF_ERROR(LaunchExpertsGroupedPart(args, groups, slots, stream_));

  int64_t part = 1;
  for (std::span<const int32_t> left = missing_; !left.empty(); ++part) {
    const auto now = left.first(std::min<size_t>(left.size(), kStreamChunk));
    left = left.subspan(now.size());
    int32_t* streamed = PartSlots(layer, part);
    std::fill_n(streamed, experts + 1, -1);
    QNEXT_RETURN_IF_ERROR(StreamChunk(layer, now, streamed));
    QNEXT_ASSIGN_OR_RETURN(slots, Upload(layer, part));
    QNEXT_RETURN_IF_ERROR(LaunchExpertsGroupedPart(args, groups, slots, stream_));
    Chunk& chunk = chunks_[static_cast<size_t>(next_chunk_)];
    QNEXT_RETURN_IF_ERROR(ToStatus(cudaEventRecord(chunk.computed.get(), stream_), "a chunk of experts"));
    chunk.used = true;
    next_chunk_ = (next_chunk_ + 1) % kStreamChunks;
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
