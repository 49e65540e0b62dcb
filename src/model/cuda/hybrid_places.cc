#include "model/cuda/hybrid_places.h"

#include "kernels/cuda/launch.h"

namespace qnext::cuda {

HybridPlaces HybridPlaces::LayOut(const GpuWeightPlan& plan, Arena& vram) {
  const int64_t layers = plan.layers(), experts = plan.num_experts();
  HybridPlaces places;
  vram.Begin("workspace");
  places.fetch_slots = vram.Take<int32_t>(layers * kMostFetchSlots);
  places.fetch_quotas = vram.Take<int32_t>(layers);
  places.cpu_counts = vram.Take<int32_t>(layers);
  places.fetch_counts = vram.Take<int32_t>(layers);
  places.fetch_experts = vram.Take<int32_t>(layers * kMostFetched);
  places.part_slots = vram.Take<int32_t>(layers * Parts(experts) * (experts + 1));
  return places;
}

HybridMail HybridMail::LayOut(const ModelConfig& config, const GpuWeightPlan& plan, Arena& host) {
  const int64_t layers = plan.layers(), experts = plan.num_experts(), d = config.hidden_size;
  const int64_t width = RoundUp(d, kInt4BlockInputs), runs = width / kInt4BlockInputs;
  HybridMail mail;
  host.Begin("mail between GPU and CPU");
  mail.mails = host.Take<ExpertMail>(layers);
  mail.done = host.Take<uint32_t>(layers);
  mail.abort = host.Take<uint32_t>(1);
  mail.sum = host.Take<float>(kMaxDecodeRows * d);
  mail.rows = {.codes = host.Take<int8_t>(kMaxDecodeRows * width),
               .scales = host.Take<float>(kMaxDecodeRows * runs),
               .sums = host.Take<int32_t>(kMaxDecodeRows * runs),
               .in_padded = width};
  mail.change_count = host.Take<int32_t>(1);
  mail.changes = host.Take<SlotChange>(kMostSlotChanges);
  mail.slot_map = host.Take<int32_t>(layers * experts);
  mail.fetch_slots = host.Take<int32_t>(layers * kMostFetchSlots);
  mail.fetch_quotas = host.Take<int32_t>(layers);
  mail.part_slots = host.Take<int32_t>(layers * HybridPlaces::Parts(experts) * (experts + 1));
  mail.group_ends = host.Take<int32_t>(layers * (experts + 1));
  return mail;
}

}  // namespace qnext::cuda
