#include "model/device_sizes.h"

#include <algorithm>

#include "base/arena.h"
#include "kernels/cuda/delta.h"
#include "model/cuda/model_memory.h"

namespace qnext {
namespace {

int64_t ValueWidth(const ModelConfig& c) { return c.linear_num_value_heads * c.linear_head_dim; }
int64_t QueryWidth(const ModelConfig& c) { return c.num_attention_heads * c.head_dim; }
int64_t KeyWidth(const ModelConfig& c) { return c.num_key_value_heads * c.head_dim; }

}  // namespace

int64_t KvPageBytes(const ModelConfig& config, KvType type) {
  const KvLayout layout = {.type = type, .kv_heads = config.num_key_value_heads, .head_dim = config.head_dim};
  const int64_t layers = config.CountLayers(LayerKind::kFullAttention);
  return layers > 0 ? layers * layout.page_bytes() + static_cast<int64_t>(sizeof(int32_t)) : 0;
}

int64_t RecurrentStateBytes(const ModelConfig& config) {
  const int64_t matrices = config.linear_num_value_heads * config.linear_head_dim * config.linear_head_dim;
  const int64_t history = cuda::kConvRing * config.conv_channels();
  return config.CountLayers(LayerKind::kLinearAttention) * (matrices + history) * 4;
}

DeviceSizes DeviceSizesFor(const ModelConfig& config, KvType kv_type) {
  return {.kv_page_tokens = kKvPageTokens,
          .kv_page_bytes = KvPageBytes(config, kv_type),
          .state_bytes = RecurrentStateBytes(config)};
}

namespace {

// Two of each layer's slots receive what is fetched in a step, until the split of misses has learned better.
constexpr int64_t kFetchSlots = 2;

using cuda::CudaMemoryPlan;
using cuda::CudaModelOptions;

Result<CudaMemoryPlan> Bounded(const ModelConfig& config, const CudaModelOptions& options, GpuWeightPlan weights,
                               std::optional<int64_t> bound) {
  return cuda::PlanMemory(config, options, weights, bound, "--vram");
}

// The layout that takes the least of VRAM.
Result<CudaMemoryPlan> Least(const ModelConfig& config, CudaModelOptions options, const GpuWeightPlan& weights) {
  QNEXT_ASSIGN_OR_RETURN(CudaMemoryPlan least, Bounded(config, options, weights, std::nullopt));
  // Without the embedding's table, and then without any expert.
  if (const auto less = Bounded(config, options, weights, least.vram_bytes() - 1); less.ok()) least = *less;
  if (weights.layers() == 0) return least;
  options.cached_experts = 0;
  const auto none = Bounded(config, options, weights, std::nullopt);
  return none.ok() && none->vram_bytes() < least.vram_bytes() ? none : least;
}

}  // namespace

Result<MemoryPlan> PlanDevice(const ModelConfig& config, const CudaModelOptions& given, const GpuWeightPlan& weights,
                              int64_t vram, int64_t ram) {
  QNEXT_RETURN_IF_ERROR(cuda::CheckOptions(given));
  const CudaModelOptions options = cuda::Complete(given, config);
  Result<CudaMemoryPlan> layout = Bounded(config, options, weights, vram);
  if (!layout.ok()) {
    // Too small even for the least: the rows say what that would be.
    layout = Least(config, options, weights);
    QNEXT_RETURN_IF_ERROR(layout.status());
  }
  MemoryPlan plan{.rows = {}, .vram_budget = vram, .ram_budget = ram};
  for (const ArenaRow& row : layout->vram) plan.rows.push_back({row.name, row.bytes, Place::kVram});
  for (const ArenaRow& row : layout->host) plan.rows.push_back({row.name, row.bytes, Place::kRam});
  AddUp(plan);
  plan.slot = {
      .stride = weights.slot_stride(),
      .slots_per_chunk = weights.slot_stride() > 0 ? SlotGeometry::For(weights.slot_stride()).slots_per_chunk : 0};
  plan.routed_experts = weights.layers() * weights.num_experts();
  plan.cached_experts = layout->cached_experts.value_or(plan.routed_experts);
  if (layout->cached_experts) plan.fetch_slots = std::min(plan.cached_experts, weights.layers() * kFetchSlots);

  int64_t fits = 0, too_long = CeilDiv(config.max_position_embeddings, kKvPageTokens) + 1;  // pages
  while (too_long - fits > 1) {
    const int64_t pages = fits + (too_long - fits) / 2;
    CudaModelOptions longer = options;
    longer.context = pages * kKvPageTokens;
    const Result<CudaMemoryPlan> least = Least(config, longer, weights);
    (least.ok() && least->vram_bytes() <= vram ? fits : too_long) = pages;
  }
  plan.longest_ctx = std::min(config.max_position_embeddings, fits * kKvPageTokens);
  return plan;
}

double PrefillFlopsPerToken(const ModelConfig& c) {
  const auto linear = [](int64_t out, int64_t in) { return 2.0 * static_cast<double>(out * in); };
  const int64_t d = c.hidden_size;
  const double delta = linear(c.conv_channels() + ValueWidth(c) + 2 * c.linear_num_value_heads, d) +
                       linear(d, ValueWidth(c)) +
                       // Reading and writing the state, once each per head.
                       4.0 * static_cast<double>(ValueWidth(c) * c.linear_head_dim);
  const double attention = linear(2 * QueryWidth(c) + 2 * KeyWidth(c), d) + linear(d, QueryWidth(c));
  const double moe = linear(c.num_experts, d) +
                     static_cast<double>(c.num_experts_per_token) * 3 * linear(c.moe_intermediate_size, d) +
                     3 * linear(c.shared_expert_intermediate_size, d);
  const auto moe_layers = std::ranges::count(c.layer_is_moe, true);
  return static_cast<double>(c.CountLayers(LayerKind::kLinearAttention)) * delta +
         static_cast<double>(c.CountLayers(LayerKind::kFullAttention)) * attention +
         static_cast<double>(moe_layers) * moe +
         static_cast<double>(c.num_layers - moe_layers) * 3 * linear(c.intermediate_size, d);
}

}  // namespace qnext
