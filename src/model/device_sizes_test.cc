#include "model/device_sizes.h"

#include <gtest/gtest.h>

#include "checkpoint/synthetic.h"
#include "model/cuda/model_memory.h"
#include "model/sequence_state.h"
#include "model/testing.h"

namespace qnext {
namespace {

ModelConfig Config80b() { return *ParseModelConfig(FindSyntheticKind("80b-a")->config_json, "80b-a"); }

TEST(DeviceSizes, AreThoseOfTheModelsSizeTable) {
  const ModelConfig config = Config80b();
  const auto per_token = [&](KvType type) {
    return static_cast<double>(KvPageBytes(config, type)) / static_cast<double>(kKvPageTokens);
  };
  EXPECT_NEAR(per_token(KvType::kBF16), 24.6e3, 50);
  EXPECT_NEAR(per_token(KvType::kF8E4M3), 12.3e3, 50);
  EXPECT_NEAR(262144 * per_token(KvType::kBF16), 6.44e9, 0.01e9);
  // 75.5 MB of matrices and a history of four rows of 8192 floats in 36 layers.
  EXPECT_EQ(RecurrentStateBytes(config), int64_t{36} * (32 * 128 * 128 + 4 * 8192) * 4);
  // The pages are those of the CPU's cache, and a table entry.
  EXPECT_EQ(KvPageBytes(config, KvType::kInt8), StateLayout::For(config, KvType::kInt8).page_bytes() + 4);
}

TEST(DeviceSizes, AModelWithoutALayerKindNeedsNothingForIt) {
  ModelConfig config = Config80b();
  config.layer_kinds.assign(config.layer_kinds.size(), LayerKind::kFullAttention);
  EXPECT_EQ(RecurrentStateBytes(config), 0);
  config.layer_kinds.assign(config.layer_kinds.size(), LayerKind::kLinearAttention);
  EXPECT_EQ(KvPageBytes(config, KvType::kBF16), 0);
}

void ExpectRows(const MemoryPlan& plan, const cuda::CudaMemoryPlan& layout) {
  size_t i = 0;
  for (const auto& [rows, place] : {std::pair(&layout.vram, Place::kVram), std::pair(&layout.host, Place::kRam)}) {
    for (const ArenaRow& row : *rows) {
      ASSERT_LT(i, plan.rows.size());
      EXPECT_EQ(plan.rows[i].component, row.name);
      EXPECT_EQ(plan.rows[i].bytes, row.bytes) << row.name;
      EXPECT_EQ(plan.rows[i].place, place) << row.name;
      ++i;
    }
  }
  EXPECT_EQ(i, plan.rows.size());
  EXPECT_EQ(plan.vram_used, layout.vram_bytes());
  EXPECT_EQ(plan.ram_used, layout.host_bytes());
}

// The plan against what CudaModel::Load would take: with nothing cached, some, all, and one byte too few.
void ExpectTheLoadersLayout(const TensorSource& source, const ModelConfig& config) {
  constexpr int64_t kRam = int64_t{1} << 40;
  const GpuWeightPlan weights = GpuWeightPlan::Make(source, config).value();
  cuda::CudaModelOptions options{.context = 4096, .vocab_end = 300};
  const auto load = [&](std::optional<int64_t> vram, std::optional<int64_t> cached = std::nullopt) {
    cuda::CudaModelOptions with = options;
    with.vram_bytes = vram;
    with.cached_experts = cached;
    GpuWeightPlan own = weights;  // CudaModel::Plan, without counting the tensors anew
    return cuda::PlanMemory(config, with, own, vram, "--vram");
  };
  const int64_t all = load(std::nullopt)->vram_bytes(), none = load(std::nullopt, 0)->vram_bytes();
  for (const int64_t vram : {none, none + (all - none) / 3, all - 1, all, all + 12345}) {
    SCOPED_TRACE(vram);
    const Result<cuda::CudaMemoryPlan> layout = load(vram);
    const MemoryPlan plan = PlanDevice(config, options, weights, vram, kRam).value();
    ASSERT_TRUE(layout.ok()) << layout.status().message();
    EXPECT_TRUE(plan.fits());
    ExpectRows(plan, *layout);
    EXPECT_EQ(plan.cached_experts, layout->cached_experts.value_or(plan.routed_experts));
  }
  int64_t least = none;
  if (const auto without_table = load(all - 1); without_table->vram_bytes() < least)
    least = without_table->vram_bytes();
  const MemoryPlan short_of = PlanDevice(config, options, weights, least - 1, kRam).value();
  EXPECT_EQ(short_of.vram_missing, 1);
  EXPECT_FALSE(load(least - 1).ok());
  EXPECT_LT(short_of.longest_ctx, 4096);
  // One byte of RAM too few.
  const MemoryPlan enough = PlanDevice(config, options, weights, none, kRam).value();
  EXPECT_EQ(PlanDevice(config, options, weights, none, enough.ram_used - 1)->ram_missing, 1);
  // The longest context is one that loads, and a page more does not.
  options.context = enough.longest_ctx;
  EXPECT_TRUE(PlanDevice(config, options, weights, none, kRam)->fits());
  options.context += kKvPageTokens;
  EXPECT_FALSE(PlanDevice(config, options, weights, none, kRam)->fits());
}

TEST(PlanDevice, IsTheLoadersLayoutOfThe80b) {
  for (const char* kind : {"80b-a-4layers", "80b-a"}) {
    SCOPED_TRACE(kind);
    const ModelConfig config = *ParseModelConfig(FindSyntheticKind(kind)->config_json, kind);
    ExpectTheLoadersLayout(SyntheticCheckpoint(config, 1), config);
  }
}

TEST(PlanDevice, IsTheLoadersLayoutOfTheTinyModel) {
  const Checkpoint checkpoint = Checkpoint::Open(kTiny).value();
  ExpectTheLoadersLayout(CheckpointSource(checkpoint), LoadModelConfig(kTiny).value());
}

TEST(DeviceSizes, CountsTheOperationsOfAToken) {
  // 3.9 billion active parameters less embedding and head, twice.
  EXPECT_NEAR(PrefillFlopsPerToken(Config80b()), 2 * 3.2e9, 0.4e9);
}

}  // namespace
}  // namespace qnext
