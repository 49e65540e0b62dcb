#include "model/cuda/model_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "experts/expert_store.h"

namespace qnext::cuda {
namespace {

constexpr char kContextRow[] = "CUDA context and code";

int64_t Sum(const std::vector<ArenaRow>& rows) {
  int64_t bytes = 0;
  for (const ArenaRow& row : rows) bytes += row.bytes;
  return bytes;
}

// The range of slots, which no arena lays out: its cache comes and goes.
void AddSlotRows(const GpuWeightPlan& weights, std::vector<ArenaRow>& rows) {
  const int64_t shared = weights.first_stream_slot() * weights.slot_stride();
  if (shared > 0) rows.push_back({.name = "shared experts", .bytes = shared});
  rows.push_back({.name = "experts of prompts", .bytes = weights.fixed_slot_bytes() - shared});
  rows.push_back({.name = "expert cache", .bytes = weights.geometry().BytesFor(weights.cache_slots())});
}

CudaMemoryPlan Count(const ModelConfig& config, const CudaModelOptions& options, const GpuWeightPlan& weights,
                     EmbeddingPlace embedding) {
  Arena vram, host;
  LayOutModel(config, options, weights, embedding, vram, host);
  CudaMemoryPlan plan{.embedding = embedding, .vram = vram.rows(), .host = host.rows()};
  if (!weights.all_resident()) AddSlotRows(weights, plan.vram);
  plan.vram.push_back({.name = kContextRow, .bytes = kContextBytes});
  Arena pinned;
  LayOutHost(config, options, weights, pinned);
  plan.host.insert(plan.host.end(), pinned.rows().begin(), pinned.rows().end());
  if (!weights.all_resident()) {
    plan.cached_experts = weights.cache_slots();
    plan.host.push_back(
        {.name = "routed experts",
         .bytes = ExpertStore::BytesFor(weights.layers(), weights.num_experts(), weights.slot_stride())});
  }
  plan.host.push_back({.name = "program and driver", .bytes = kProcessBytes});
  std::erase_if(plan.host, [](const ArenaRow& row) { return row.bytes == 0; });
  return plan;
}

// "experts 38 GiB, KV cache 0.8 GiB, ...", the largest first.
std::string Largest(std::vector<ArenaRow> rows) {
  std::ranges::stable_sort(rows, [](const ArenaRow& a, const ArenaRow& b) { return a.bytes > b.bytes; });
  std::string text;
  for (const ArenaRow& row : rows) {
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", row.name, FormatBytes(row.bytes));
  }
  return text;
}

}  // namespace

int64_t CudaMemoryPlan::vram_bytes() const { return Sum(vram); }
int64_t CudaMemoryPlan::host_bytes() const { return Sum(host); }

Status CheckOptions(const CudaModelOptions& options) {
  if (options.slots < 1 || options.slots > kMaxDecodeRows) {
    return InvalidArgument(fmt::format("slots: must be in [1, {}], not {}", kMaxDecodeRows, options.slots));
  }
  if (options.max_block_tokens < 1) return InvalidArgument("max_block_tokens: must be at least 1");
  if (options.context < 1) return InvalidArgument("context: must be at least 1 token");
  return {};
}

CudaModelOptions Complete(CudaModelOptions options, const ModelConfig& config) {
  options.max_block_tokens = std::min(options.max_block_tokens, options.context);
  if (options.vocab_end <= 0) options.vocab_end = static_cast<int32_t>(config.vocab_size);
  return options;
}

// Here and not with the rest of the class, for it needs no GPU and no CUDA.
Result<CudaMemoryPlan> CudaModel::Plan(const TensorSource& source, const ModelConfig& config,
                                       const CudaModelOptions& options) {
  QNEXT_RETURN_IF_ERROR(CheckOptions(options));
  QNEXT_ASSIGN_OR_RETURN(GpuWeightPlan weights, GpuWeightPlan::Make(source, config, options.dense_weights));
  return PlanMemory(config, Complete(options, config), weights, options.vram_bytes, "--vram");
}

ModelPlaces LayOutModel(const ModelConfig& config, const CudaModelOptions& options, const GpuWeightPlan& weights,
                        EmbeddingPlace embedding, Arena& vram, Arena& host) {
  ModelPlaces places;
  places.weights = GpuWeightPlaces::LayOut(weights, embedding, vram, host);
  places.state = GpuState::LayOut(StateLayout::For(config, options.kv_type), options.slots, options.context, vram);
  const GpuWorkspaceShape shape = {.rows = std::max(options.max_block_tokens, kMaxDecodeRows),
                                   .slots = options.slots,
                                   .vocab_end = options.vocab_end,
                                   .ordered_experts = weights.ordered_experts()};
  places.ws = GpuWorkspace::LayOut(config, shape, vram);
  if (!weights.all_resident()) places.hybrid = HybridPlaces::LayOut(weights, vram);
  if (options.routing != nullptr && options.routing->layers() > 0) {
    places.routing_positions = options.routing->positions();
    vram.Begin("simulated routing");
    places.routing =
        vram.Take<uint16_t>(options.routing->layers() * options.routing->positions() * options.routing->top());
  }
  return places;
}

HostPlaces LayOutHost(const ModelConfig& config, const CudaModelOptions& options, const GpuWeightPlan& weights,
                      Arena& host) {
  const auto rows = [&](int64_t count) {
    return GpuRows{
        .ids = host.Take<int32_t>(count), .positions = host.Take<int32_t>(count), .slots = host.Take<int32_t>(count)};
  };
  HostPlaces places;
  host.Begin("transfer buffers");
  places.block_rows = rows(std::max(options.max_block_tokens, kMaxDecodeRows));
  places.decode_rows = rows(kMaxDecodeRows);
  places.results = host.Take<uint64_t>(kMaxDecodeRows);
  places.logits = host.Take<float>(kLogitRows * config.vocab_size);
  if (!weights.all_resident()) places.mail = HybridMail::LayOut(config, weights, host);
  return places;
}

Result<CudaMemoryPlan> PlanMemory(const ModelConfig& config, const CudaModelOptions& options, GpuWeightPlan& weights,
                                  std::optional<int64_t> vram_bytes, const char* bound) {
  if (!options.cached_experts) {
    CudaMemoryPlan plan = Count(config, options, weights, EmbeddingPlace::kVram);
    if (!vram_bytes || plan.vram_bytes() <= *vram_bytes) return plan;
    // The output matrix of tied weights is the embedding, which a step reads whole.
    if (!config.tie_word_embeddings) plan = Count(config, options, weights, EmbeddingPlace::kHostMemory);
    if (plan.vram_bytes() <= *vram_bytes) return plan;
    if (weights.layers() == 0) {
      return ResourceExhausted(fmt::format("{}: the model needs {}, which is {} more than the {} there are ({})", bound,
                                           FormatBytes(plan.vram_bytes()), FormatBytes(plan.vram_bytes() - *vram_bytes),
                                           FormatBytes(*vram_bytes), Largest(plan.vram)));
    }
  }
  // The experts stay in RAM, and slots hold copies of some.
  if (weights.layers() > 0 && weights.ordered_experts()) {
    return Unsupported(fmt::format(
        "{}: not all experts fit, and experts with an order of their inputs (desc_act) run only where all do", bound));
  }
  const EmbeddingPlace embedding = config.tie_word_embeddings ? EmbeddingPlace::kVram : EmbeddingPlace::kHostMemory;
  const int64_t experts = weights.layers() * weights.num_experts();
  GpuWeightPlan::Slots slots = {.cache = options.cached_experts.value_or(0),
                                .stream = StreamSlots(weights.num_experts())};
  slots.cache = std::min(slots.cache, experts);
  const SlotGeometry geometry = SlotGeometry::For(weights.slot_stride(), options.least_chunk_bytes);
  weights.UseCache(slots, geometry);
  CudaMemoryPlan plan = Count(config, options, weights, embedding);
  if (vram_bytes && plan.vram_bytes() > *vram_bytes) {
    return ResourceExhausted(fmt::format(
        "{}: with {} of {} experts on the GPU the model needs {}, which is {} more than the {} there are ({})", bound,
        slots.cache, experts, FormatBytes(plan.vram_bytes()), FormatBytes(plan.vram_bytes() - *vram_bytes),
        FormatBytes(*vram_bytes), Largest(plan.vram)));
  }
  if (options.cached_experts || !vram_bytes) return plan;
  slots.cache = std::min(experts, geometry.SlotsIn(*vram_bytes - plan.vram_bytes()));
  weights.UseCache(slots, geometry);
  return Count(config, options, weights, embedding);
}

}  // namespace qnext::cuda
