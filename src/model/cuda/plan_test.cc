// What a GPU will hold, planned without one.
#include <gtest/gtest.h>

#include "checkpoint/synthetic.h"
#include "compare.h"
#include "model/cuda/cuda_model.h"
#include "model/cuda/gpu_state.h"
#include "model/testing.h"

namespace qnext::cuda {
namespace {

struct Kind {
  ModelConfig config;
  std::unique_ptr<SyntheticCheckpoint> source;
};

Kind Make(const std::string& name) {
  const SyntheticKind kind = FindSyntheticKind(name).value();
  Kind made{.config = ParseModelConfig(kind.config_json, kind.name).value(), .source = nullptr};
  made.source = std::make_unique<SyntheticCheckpoint>(made.config, 1);
  return made;
}

int64_t RowBytes(const CudaMemoryPlan& plan, const std::string& name) {
  for (const ArenaRow& row : plan.vram) {
    if (row.name == name) return row.bytes;
  }
  return -1;
}

TEST(GpuWeightPlan, ExpertsOfThe80BHaveSlotsOfOneSize) {
  const Kind a = Make("80b-a");
  const GpuWeightPlan plan = GpuWeightPlan::Make(*a.source, a.config).value();
  EXPECT_EQ(plan.experts().size(), 48u);
  EXPECT_EQ(plan.slot_stride(), 1622016);  // docs/int4-layout.md
  EXPECT_TRUE(plan.shared_in_slots());
  EXPECT_EQ(plan.slots(), 48 * 513);
  EXPECT_EQ(plan.ResidentSlot(2, 7), 2 * 513 + 7);
  EXPECT_FALSE(plan.ordered_experts());

  const Kind b = Make("80b-b");
  const GpuWeightPlan experts_only = GpuWeightPlan::Make(*b.source, b.config).value();
  EXPECT_EQ(experts_only.slot_stride(), 1769472);
  EXPECT_FALSE(experts_only.shared_in_slots());  // it is 16-bit there
  EXPECT_EQ(experts_only.slots(), 48 * 512);
}

TEST(GpuWeightPlan, Int8DenseWeightsTakeAsMuchAsThePlanSays) {
  const Kind b = Make("80b-b-4layers");
  const auto bytes = [](const GpuWeightPlan& plan) {
    int64_t sum = 0;
    for (const PlannedWeight& weight : plan.weights()) sum += weight.bytes;
    return sum;
  };
  const int64_t saved = bytes(GpuWeightPlan::Make(*b.source, b.config).value()) -
                        bytes(GpuWeightPlan::Make(*b.source, b.config, DenseWeights::kInt8).value());
  const auto sizes = [&](DenseWeights dense) {
    return WeightSizesOf(*b.source, b.config, dense).value().dense_bytes();
  };
  EXPECT_NEAR(static_cast<double>(saved),
              static_cast<double>(sizes(DenseWeights::kStored) - sizes(DenseWeights::kInt8)), 1e5);
}

TEST(CudaMemoryPlan, TheTinyModelFitsAndTheEmbeddingGoesFirst) {
  const Checkpoint checkpoint = Checkpoint::Open(kTiny).value();
  const ModelConfig config = LoadModelConfig(kTiny).value();
  const CheckpointSource source(checkpoint);
  const CudaMemoryPlan plan = CudaModel::Plan(source, config, {.context = 1024}).value();
  EXPECT_EQ(plan.embedding, EmbeddingPlace::kVram);
  EXPECT_GT(RowBytes(plan, "experts"), 8 << 20);
  // 2 full-attention layers, 2 KV heads of 256, K and V in BF16; and the page table.
  EXPECT_EQ(RowBytes(plan, "KV cache"), 2 * 1024 * 2 * 2 * 256 * 2 + 256);
  // 6 linear-attention layers, 4 heads of 128 x 128 floats; convolution of 1024 channels.
  EXPECT_EQ(RowBytes(plan, "recurrent state"), 6 * (4 * 128 * 128 + 4 * 1024) * 4);

  const CudaMemoryPlan tight =
      CudaModel::Plan(source, config, {.context = 1024, .vram_bytes = plan.vram_bytes() - 1}).value();
  EXPECT_EQ(tight.embedding, EmbeddingPlace::kHostMemory);
  EXPECT_EQ(plan.vram_bytes() - tight.vram_bytes(), RowBytes(plan, "embedding"));
  EXPECT_EQ(RowBytes(plan, "embedding"), 4160 * 256 * 2);
}

TEST(CudaMemoryPlan, ExpertsThatDoNotFitStayInRam) {
  const Kind kind = Make("80b-a");
  const CudaMemoryPlan plan =
      CudaModel::Plan(*kind.source, kind.config, {.context = 32768, .vram_bytes = int64_t{15} << 30}).value();
  EXPECT_LE(plan.vram_bytes(), int64_t{15} << 30);
  EXPECT_GT(plan.vram_bytes(), (int64_t{15} << 30) - 1622016 - SlotGeometry::kPageBytes);  // no room for another one
  ASSERT_TRUE(plan.cached_experts.has_value());
  EXPECT_EQ(RowBytes(plan, "expert cache"), RoundUp(*plan.cached_experts * 1622016, SlotGeometry::kPageBytes));
  EXPECT_EQ(RowBytes(plan, "shared experts"), 48 * 1622016);
  EXPECT_GT(*plan.cached_experts, 24576 / 4);
  EXPECT_EQ(plan.embedding, EmbeddingPlace::kHostMemory);
}

TEST(CudaMemoryPlan, WhatDoesNotFitIsRefusedWithTheAmounts) {
  const Kind kind = Make("80b-a");
  const Result<CudaMemoryPlan> plan =
      CudaModel::Plan(*kind.source, kind.config, {.context = 32768, .vram_bytes = int64_t{2} << 30});
  ASSERT_FALSE(plan.ok());
  EXPECT_EQ(plan.status().code(), StatusCode::kResourceExhausted);
  const std::string& text = plan.status().message();
  EXPECT_EQ(text.rfind("--vram: with 0 of 24576 experts on the GPU the model needs ", 0), 0u) << text;
  EXPECT_NE(text.find("the 2.00 GiB there are ("), std::string::npos) << text;
}

TEST(CudaMemoryPlan, EverySlotHasItsOwnState) {
  const Kind kind = Make("80b-a-4layers");
  const CudaMemoryPlan one = CudaModel::Plan(*kind.source, kind.config, {.slots = 1, .context = 4096}).value();
  const CudaMemoryPlan four = CudaModel::Plan(*kind.source, kind.config, {.slots = 4, .context = 4096}).value();
  EXPECT_EQ(4 * RowBytes(one, "recurrent state"), RowBytes(four, "recurrent state"));
  EXPECT_EQ(4 * (RowBytes(one, "KV cache") - 256), RowBytes(four, "KV cache") - 1024);
  const CudaMemoryPlan half =
      CudaModel::Plan(*kind.source, kind.config, {.kv_type = KvType::kF8E4M3, .context = 4096}).value();
  EXPECT_EQ(RowBytes(one, "KV cache") - 256, 2 * (RowBytes(half, "KV cache") - 256));
}

TEST(CudaMemoryPlan, OptionsThatCannotBe) {
  const Kind kind = Make("80b-a-4layers");
  EXPECT_EQ(CudaModel::Plan(*kind.source, kind.config, {.slots = 9}).status().message(),
            "slots: must be in [1, 8], not 9");
  EXPECT_EQ(CudaModel::Plan(*kind.source, kind.config, {.context = 0}).status().message(),
            "context: must be at least 1 token");
}

TEST(GpuState, PagesOfASlotAreItsOwn) {
  const GpuState state{.slots = 3, .max_pages = 5};
  std::vector<int> owners(15);
  for (int64_t slot = 0; slot < 3; ++slot) {
    for (int64_t page = 0; page < 5; ++page) ++owners[static_cast<size_t>(state.OwnPage(slot, page))];
  }
  EXPECT_EQ(owners, std::vector<int>(15, 1));
}

}  // namespace
}  // namespace qnext::cuda
