#include "model/cuda/hybrid_experts.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <utility>

#include "base/check.h"
#include "hw/cuda/cuda_status.h"
#include "hw/cuda/wait.h"
#include "kernels/cuda/hybrid.h"
#include "model/cuda/gpu_context.h"
#include "plan/expert_slots.h"

namespace qnext::cuda {
namespace {

// First guesses of the split, before anything has been measured.
constexpr double kCpuBytesPerSecond = 80e9, kLinkBytesPerSecond = 35e9;
// A longer pause between two steps is not the model's.
constexpr std::chrono::milliseconds kPause{20};

double Seconds(uint64_t from_ns, uint64_t to_ns) {
  return to_ns > from_ns ? static_cast<double>(to_ns - from_ns) * 1e-9 : 0.0;
}

ExpertCacheOptions CacheOptions(const GpuWeightPlan& plan, const HybridOptions& options, const ChunkedRange& slots) {
  int64_t mapped = 0;
  while (mapped < plan.cache_chunks() && slots.mapped(HybridExperts::kFirstCacheChunk + mapped)) ++mapped;
  ExpertCacheOptions cache{.layers = plan.layers(),
                           .experts = plan.num_experts(),
                           .max_slots = plan.cache_slots(),
                           .slots_per_chunk = plan.geometry().slots_per_chunk,
                           .mapped_chunks = mapped,
                           .max_fetch = kMostFetchSlots};
  if (!options.promotions) cache.promotions = {.most = 0, .least = 0};
  return cache;
}

SplitPolicyOptions SplitOptions(const GpuWeightPlan& plan, const HybridOptions& options, int64_t top) {
  const auto bytes = static_cast<double>(plan.slot_stride());
  return {.layers = plan.layers(),
          .max_fetch = kMostFetchSlots,
          .max_misses = options.rows * top,
          .cpu_seconds_per_expert = bytes / kCpuBytesPerSecond,
          .fetch_seconds_per_expert = bytes / kLinkBytesPerSecond};
}

int64_t LargestIntermediate(const GpuWeightPlan& plan) {
  int64_t most = 0;
  for (const ExpertLayout& layer : plan.experts()) most = std::max(most, layer.gate_up.out);
  return most;
}

}  // namespace

HybridExperts::HybridExperts(const ModelConfig& config, const GpuWeightPlan& plan, const HybridOptions& options,
                             const GpuWeightPlaces& weights, const HybridPlaces& places, const HybridMail& mail,
                             ExpertStore store, ChunkedRange& slots, CUstream_st* stream)
    : plan_(plan),
      options_(options),
      weights_(weights),
      places_(places),
      mail_(mail),
      top_(config.num_experts_per_token),
      store_(std::move(store)),
      slots_(slots),
      stream_(stream),
      cache_(CacheOptions(plan, options, slots)),
      split_(SplitOptions(plan, options, top_)),
      cpu_(*options.kernels, *options.pool, options.rows, options.rows * top_, config.hidden_size,
           LargestIntermediate(plan)) {
  copies_.reserve(UploadThread::kMostCopies);
  servings_.resize(static_cast<size_t>(plan.layers()));
  choices_.resize(static_cast<size_t>(plan.layers() * options.rows * top_));
  fetched_.reserve(static_cast<size_t>(plan.layers() * kMostFetchSlots));
}

Result<std::unique_ptr<HybridExperts>> HybridExperts::Make(const GpuInfo& gpu, const ModelConfig& config,
                                                           const GpuWeightPlan& plan, const HybridOptions& options,
                                                           const GpuWeightPlaces& weights, const HybridPlaces& places,
                                                           const HybridMail& mail, ExpertStore store,
                                                           ChunkedRange& slots, CUstream_st* stream) {
  QNEXT_CHECK(options.kernels != nullptr && options.pool != nullptr, "somebody computes the CPU's experts");
  std::unique_ptr<HybridExperts> made(
      new HybridExperts(config, plan, options, weights, places, mail, std::move(store), slots, stream));
  QNEXT_ASSIGN_OR_RETURN(made->pinned_, options.pin ? PinnedRange::Pin(made->store_.data(), made->store_.bytes())
                                                    : PinnedRange::Refused(made->store_.data(), made->store_.bytes()));
  QNEXT_ASSIGN_OR_RETURN(made->uploads_, UploadThread::Make(gpu, made->pinned_, plan.slot_stride(), options.pool));
  // An empty map; the first step brings the rest.
  const auto map_bytes = static_cast<size_t>(plan.layers() * plan.num_experts()) * sizeof(int32_t);
  QNEXT_RETURN_IF_ERROR(ToStatus(cudaMemsetAsync(weights.slot_map, 0xff, map_bytes, stream), "slot map"));
  if (made->pinned()) {
    const int64_t wanted =
        options.fixed_fetch ? std::min(*options.fixed_fetch, kMostFetchSlots) : made->split_.fetch_slots_wanted();
    made->cache_.SetFetchSlots(wanted);
  }
  QNEXT_RETURN_IF_ERROR(made->FillCache());
  return made;
}

int32_t HybridExperts::CachedSlot(int64_t layer, int64_t expert) const {
  const int32_t slot = cache_.slots().ResidentSlot(static_cast<int32_t>(layer * plan_.num_experts() + expert));
  return slot < 0 ? -1 : slot + static_cast<int32_t>(plan_.first_cache_slot());
}

Status HybridExperts::CopyToGpu(std::byte* to, int64_t layer, int64_t first, int64_t count, CUstream_st* stream) const {
  return pinned_.CopyToGpu(to, store_.Expert(layer, first), count * plan_.slot_stride(), stream);
}

Status HybridExperts::LaunchBegin() const {
  return LaunchBeginHybridStep({.change_count = mail_.change_count,
                                .changes = mail_.changes,
                                .fetch_slots = mail_.fetch_slots,
                                .fetch_quotas = mail_.fetch_quotas,
                                .device_slot_map = weights_.slot_map,
                                .device_fetch_slots = places_.fetch_slots,
                                .device_fetch_quotas = places_.fetch_quotas,
                                .layers = plan_.layers(),
                                .max_fetch = kMostFetchSlots},
                               stream_);
}

ExpertPlacement HybridExperts::Placement(int64_t layer) const {
  return {.slot_map = weights_.slot_map + layer * plan_.num_experts(),
          .fetch_slots = places_.fetch_slots + layer * kMostFetchSlots,
          .fetch_quota = places_.fetch_quotas + layer};
}

ExpertLists HybridExperts::Lists(int64_t layer) const {
  return {.cpu_count = places_.cpu_counts + layer,
          .cpu_rows = nullptr,
          .cpu_experts = nullptr,
          .cpu_weights = nullptr,
          .fetch_count = places_.fetch_counts + layer,
          .fetch_experts = places_.fetch_experts + layer * kMostFetched};
}

ExpertPost HybridExperts::Post(int64_t layer, const uint32_t* step, const Int8Rows& rows) const {
  return {.mail = mail_.mails + layer, .step = step, .rows = rows, .host_rows = mail_.rows};
}

Status HybridExperts::LaunchFetch(int64_t layer) const {
  if (!pinned()) return Status();
  return LaunchFetchExperts({.source = store_.LayerBase(layer),
                             .target = weights_.expert_slots,
                             .stride = plan_.slot_stride(),
                             .bytes = plan_.experts()[static_cast<size_t>(layer)].bytes(),
                             .count = places_.fetch_counts + layer,
                             .experts = places_.fetch_experts + layer * kMostFetched,
                             .slots = places_.fetch_slots + layer * kMostFetchSlots,
                             .blocks = options_.fetch_blocks,
                             .mail = mail_.mails + layer},
                            stream_);
}

Status HybridExperts::LaunchAwait(int64_t layer, const uint32_t* step, int64_t m, float* out) const {
  return LaunchAwaitCpu({.cpu_count = places_.cpu_counts + layer,
                         .done = mail_.done + layer,
                         .step = step,
                         .abort = mail_.abort,
                         .sum = mail_.sum,
                         .out = out,
                         .mail = mail_.mails + layer,
                         .m = m,
                         .dim = plan_.hidden_size(),
                         .limit_ns = static_cast<uint64_t>(options_.wait_limit.count())},
                        stream_);
}

Status HybridExperts::PrepareStep() {
  QNEXT_CHECK(!in_step_, "one step at a time");
  if (!options_.fixed_fetch && pinned()) cache_.SetFetchSlots(split_.fetch_slots_wanted());
  const StepPlacement placement = cache_.BeginStep();
  cache_step_ = placement.step;
  in_step_ = true;
  const auto first = static_cast<int32_t>(plan_.first_cache_slot());
  const auto slot_of = [first](int32_t slot) { return slot < 0 ? -1 : slot + first; };
  if (static_cast<int64_t>(placement.changes.size()) <= kMostSlotChanges) {
    for (size_t i = 0; i < placement.changes.size(); ++i) {
      mail_.changes[i] = {.index = placement.changes[i].id, .slot = slot_of(placement.changes[i].slot)};
    }
    *mail_.change_count = static_cast<int32_t>(placement.changes.size());
  } else {
    std::ranges::transform(placement.slot_map, mail_.slot_map, slot_of);
    *mail_.change_count = 0;
    QNEXT_RETURN_IF_ERROR(ToStatus(cudaMemcpyAsync(weights_.slot_map, mail_.slot_map, placement.slot_map.size_bytes(),
                                                   cudaMemcpyHostToDevice, stream_),
                                   "slot map"));
  }
  std::ranges::transform(placement.fetch_slots, mail_.fetch_slots, slot_of);
  const std::span<const int32_t> quotas = split_.quotas();
  for (size_t layer = 0; layer < quotas.size(); ++layer) {
    const auto wanted = options_.fixed_fetch ? static_cast<int32_t>(*options_.fixed_fetch) : quotas[layer];
    mail_.fetch_quotas[layer] = pinned() ? std::min(wanted, placement.fetch_counts[layer]) : 0;
  }
  std::atomic_thread_fence(std::memory_order_seq_cst);  // the launch comes after all of it
  return Status();
}

Status HybridExperts::Serve(int64_t layer, uint32_t step, int64_t m) {
  if (layer == 0) {
    launched_ = std::chrono::steady_clock::now();
    const auto between = launched_ - ended_;
    if (between < kPause) stats_.between_seconds += std::chrono::duration<double>(between).count();
    QNEXT_RETURN_IF_ERROR(FinishBookkeeping());
  }
  ExpertMail& mail = mail_.mails[layer];
  const auto posted = [&] { return std::atomic_ref(mail.posted).load(std::memory_order_acquire) == step; };
  QNEXT_RETURN_IF_ERROR(PollUntil(posted, stream_, kStepLimit, "a decode step"));
  LayerServing& serving = servings_[static_cast<size_t>(layer)];
  serving = {.cpu = mail.cpu_count, .fetched = mail.fetch_count};
  if (mail.cpu_count == 0) return Status();
  if (options_.before_serving) options_.before_serving(layer);
  const auto start = std::chrono::steady_clock::now();
  const auto count = static_cast<size_t>(mail.cpu_count);
  const ExpertLayout& layout = plan_.experts()[static_cast<size_t>(layer)];
  cpu_.Run(
      {.base = store_.LayerBase(layer), .stride = plan_.slot_stride(), .gate_up = layout.gate_up, .down = layout.down},
      {.rows = {mail.cpu_rows, count}, .experts = {mail.cpu_experts, count}, .weights = {mail.cpu_weights, count}},
      mail_.rows, m, mail_.sum);
  std::atomic_ref(mail_.done[layer]).store(step, std::memory_order_release);
  serving.cpu_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return Status();
}

Status HybridExperts::EndStep(int64_t m) {
  QNEXT_CHECK(in_step_, "a step has begun");
  if (std::atomic_ref(*mail_.abort).load() != 0) {
    return Internal("a decode step: the CPU has not computed its experts in time");
  }
  ended_ = std::chrono::steady_clock::now();
  stats_.step_seconds += std::chrono::duration<double>(ended_ - launched_).count();
  const int64_t per_layer = m * top_;
  fetched_.clear();
  ++stats_.steps;
  for (int64_t layer = 0; layer < plan_.layers(); ++layer) {
    const ExpertMail& mail = mail_.mails[layer];
    LayerServing& serving = servings_[static_cast<size_t>(layer)];
    std::copy_n(mail.chosen, per_layer, choices_.data() + layer * per_layer);
    for (int32_t i = 0; i < mail.fetch_count; ++i) {
      fetched_.push_back({.layer = static_cast<int32_t>(layer), .expert = mail.fetch_experts[i], .index = i});
    }
    const double gpu_seconds = Seconds(mail.split_ns, mail.served_ns);
    if (serving.fetched > 0) serving.fetch_seconds = gpu_seconds;
    stats_.cpu += serving.cpu;
    stats_.fetched += serving.fetched;
    stats_.cpu_seconds += serving.cpu_seconds;
    stats_.gpu_seconds += gpu_seconds;
    stats_.post_seconds += Seconds(mail.split_ns, mail.fetch_ns);
    stats_.wait_seconds += Seconds(mail.served_ns, mail.summed_ns);
  }
  stats_.choices += plan_.layers() * per_layer;
  in_step_ = false;
  // What has arrived makes room for more.
  QNEXT_RETURN_IF_ERROR(CollectUploads(/*wait=*/false));
  const int64_t hits_before = cache_.stats().hits;
  late_ = cache_.EndStep(cache_step_, {.choices = {choices_.data(), static_cast<size_t>(plan_.layers() * per_layer)},
                                       .choices_per_layer = per_layer,
                                       .fetched = options_.promotions ? fetched_ : std::span<const FetchedExpert>()});
  stats_.hits += cache_.stats().hits - hits_before;
  observed_ = false;
  return Status();
}

Status HybridExperts::FinishBookkeeping() {
  if (!observed_ && !options_.fixed_fetch && pinned()) split_.Observe(servings_);
  observed_ = true;
  if (!late_) return Status();
  const UploadBatch batch = *late_;
  late_.reset();
  return StartUploads(batch);
}

void HybridExperts::AbortStep() {
  std::atomic_ref(*mail_.abort).store(1);
  if (in_step_) cache_.AbandonStep(cache_step_);
  in_step_ = false;
}

void HybridExperts::Recover() { std::atomic_ref(*mail_.abort).store(0); }

Status HybridExperts::StartUploads(const UploadBatch& batch) {
  const int64_t stride = plan_.slot_stride();
  std::span<const ExpertUpload> left = batch.uploads;
  while (!left.empty()) {
    const auto part = left.first(std::min(left.size(), UploadThread::kMostCopies));
    left = left.subspan(part.size());
    copies_.clear();
    for (const ExpertUpload& upload : part) {
      copies_.push_back({.to = weights_.expert_slots + (plan_.first_cache_slot() + upload.slot) * stride,
                         .from = store_.Expert(upload.layer, upload.expert)});
    }
    // Only the last part ends the epoch.
    const int64_t epoch = left.empty() ? batch.epoch : 0;
    while (!uploads_->Start(copies_, epoch)) QNEXT_RETURN_IF_ERROR(CollectUploads(/*wait=*/true));
    stats_.promoted += static_cast<int64_t>(part.size());
  }
  return Status();
}

Status HybridExperts::CollectUploads(bool wait) {
  QNEXT_ASSIGN_OR_RETURN(const int64_t epoch, wait ? uploads_->CollectAll() : uploads_->Collect());
  if (epoch > 0) cache_.FinishUploads(epoch);
  return Status();
}

Status HybridExperts::FinishUploads() {
  QNEXT_RETURN_IF_ERROR(FinishBookkeeping());
  return CollectUploads(/*wait=*/true);
}

Status HybridExperts::FillCache() {
  const std::vector<int32_t> alike(static_cast<size_t>(plan_.layers() * plan_.num_experts()), 1);
  while (cache_.slots().free_slots() > 0) {
    const UploadBatch batch =
        cache_.Seed(alike, 1, cache_.next_step(), static_cast<int64_t>(UploadThread::kMostCopies));
    if (batch.uploads.empty()) break;
    QNEXT_RETURN_IF_ERROR(StartUploads(batch));
  }
  QNEXT_RETURN_IF_ERROR(FinishUploads());
  stats_ = {.expert_bytes = plan_.slot_stride(),
            .cached_experts = cache_.slots().mapped_slots(),
            .experts = plan_.layers() * plan_.num_experts(),
            .cache_bytes = cache_bytes()};
  return Status();
}

Status HybridExperts::ResizeCache(int64_t bytes) {
  QNEXT_CHECK(!in_step_, "between steps");
  // Then nothing writes into a chunk, and nothing reads one: no slot drains, and each chunk leaves at once.
  QNEXT_RETURN_IF_ERROR(FinishUploads());
  QNEXT_RETURN_IF_ERROR(Synchronize(stream_, kBlockLimit, "the expert cache"));
  Status status = ShrinkCache(bytes);
  if (status.ok()) status = GrowCache(bytes);
  stats_.cached_experts = cache_.slots().mapped_slots();
  stats_.cache_bytes = cache_bytes();
  return status;
}

Status HybridExperts::ShrinkCache(int64_t bytes) {
  while (cache_bytes() > bytes) {
    const int64_t chunk = cache_.StartRelease();
    if (chunk < 0) return Status();
    QNEXT_CHECK(cache_.ChunkDrained(chunk), "no step and no copy is under way");
    cache_.FinishRelease(chunk);
    QNEXT_RETURN_IF_ERROR(slots_.Unmap(kFirstCacheChunk + chunk));
  }
  return Status();
}

Status HybridExperts::GrowCache(int64_t bytes) {
  for (int64_t chunk = 0; chunk < cache_.slots().chunks(); ++chunk) {
    const int64_t piece = kFirstCacheChunk + chunk;
    if (slots_.mapped(piece) || cache_bytes() + slots_.chunk_bytes(piece) > bytes) continue;
    QNEXT_RETURN_IF_ERROR(slots_.Map(piece));
    cache_.AddChunk(chunk);
  }
  return Status();
}

Status HybridExperts::Seed(std::span<const int32_t> counts, int64_t tokens) {
  QNEXT_RETURN_IF_ERROR(FinishBookkeeping());
  QNEXT_RETURN_IF_ERROR(CollectUploads(/*wait=*/false));
  return StartUploads(cache_.Seed(counts, tokens, cache_.next_step(), static_cast<int64_t>(UploadThread::kMostCopies)));
}

}  // namespace qnext::cuda
