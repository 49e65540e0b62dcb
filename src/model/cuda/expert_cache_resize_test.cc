// A model whose expert cache gives GPU memory back and takes it again: what it computes stays what it was.
#include <gtest/gtest.h>

#include <algorithm>
#include <mutex>

#include "compare.h"
#include "hw/cuda/buffers.h"
#include "model/cuda/cuda_testing.h"
#include "model/cuda/model_memory.h"

namespace qnext::cuda {
namespace {

// docs/numerics.md, "When two results agree".
constexpr double kResizeRule = 2.5e-2;
constexpr int64_t kResizeContext = 512;
constexpr int kResizeLongPrompt = 3;  // 196 tokens

class ExpertCacheResizeTest : public GpuTest {
 protected:
  // Chunks of one page, so that the tiny model has several.
  OnGpu Tiny(CudaModelOptions options) {
    options.context = kResizeContext;
    options.least_chunk_bytes = SlotGeometry::kPageBytes;
    return OnGpu::Tiny(options, gpu_);
  }
  static int64_t AllExperts() {
    const ModelConfig config = LoadModelConfig(kTiny).value();
    return static_cast<int64_t>(AllOutputs::MoeLayers(config)) * config.num_experts;
  }
  static ExpertCacheMemory Cache(const OnGpu& gpu) { return gpu.model->expert_cache().value(); }
  static void Resize(OnGpu& gpu, int64_t bytes) {
    const Status status = gpu.model->ResizeExpertCache(bytes);
    ASSERT_TRUE(status.ok()) << status.message();
    const ExpertCacheMemory cache = Cache(gpu);
    EXPECT_LE(cache.bytes, bytes);
    EXPECT_GT(cache.bytes + cache.chunk_bytes, std::min(bytes, cache.planned_bytes));
    EXPECT_EQ(gpu.model->expert_stats()->cached_experts, cache.experts);
    EXPECT_EQ(gpu.model->expert_stats()->cache_bytes, cache.bytes);
  }
  static void ExpectAgrees(OnGpu& gpu, size_t prompt_tokens) {
    for (int prompt = 0; prompt < 4; ++prompt) {
      SCOPED_TRACE(::testing::Message() << "prompt " << prompt << ", " << prompt_tokens << " prefilled");
      const std::vector<int32_t>& ids = TheGolden().ids(prompt);
      const std::vector<float> logits = gpu.DecodeLogits(ids, std::min(prompt_tokens, ids.size()));
      EXPECT_TRUE(RelativeErrorWithin(logits, TheGolden().logits(prompt), kResizeRule));
    }
  }
};

TEST_F(ExpertCacheResizeTest, AgreesBeforeAndAfterInBothHandshakes) {
  for (const Handshake handshake : {Handshake::kGraph, Handshake::kSegments}) {
    OnGpu gpu = Tiny({.cached_experts = AllExperts(), .handshake = handshake});
    const ExpertCacheMemory all = Cache(gpu);
    ASSERT_EQ(all.bytes, all.planned_bytes);
    ASSERT_GE(all.bytes / all.chunk_bytes, 3);
    for (const int64_t bytes :
         {all.bytes, all.bytes / 2, int64_t{0}, all.chunk_bytes, all.bytes - 1, int64_t{0}, all.bytes}) {
      SCOPED_TRACE(::testing::Message() << bytes << " bytes");
      Resize(gpu, bytes);
      ExpectAgrees(gpu, 1);
      ExpectAgrees(gpu, 1000);
    }
    EXPECT_EQ(Cache(gpu).experts, AllExperts());
  }
}

TEST_F(ExpertCacheResizeTest, WithNothingLeftItGivesTheBitsOfAModelThatCachesNothing) {
  const std::vector<int32_t>& ids = TheGolden().ids(1);
  const CudaModelOptions options = {.cached_experts = AllExperts(), .fixed_fetch = 0, .promotions = false};
  OnGpu gpu = Tiny(options);
  const std::vector<float> full = gpu.DecodeLogits(ids, 3);
  CudaModelOptions none = options;
  none.cached_experts = 0;
  OnGpu empty = Tiny(none);
  const std::vector<float> expected = empty.DecodeLogits(ids, 3);
  Resize(gpu, 0);
  const int64_t hits = gpu.model->expert_stats()->hits;
  EXPECT_EQ(gpu.DecodeLogits(ids, 3), expected);
  EXPECT_EQ(gpu.model->expert_stats()->hits, hits);
  EXPECT_TRUE(RelativeErrorWithin(expected, full, kResizeRule));
}

TEST_F(ExpertCacheResizeTest, PromptsGiveTheSameBitsWhateverIsMapped) {
  OnGpu gpu = Tiny({.cached_experts = AllExperts()});
  const std::vector<int32_t>& ids = TheGolden().ids(kResizeLongPrompt);
  const std::vector<float> expected = gpu.Logits(ids);
  const int64_t all = Cache(gpu).bytes;
  for (const int64_t bytes : {all / 2, int64_t{0}, all}) {
    Resize(gpu, bytes);
    EXPECT_EQ(gpu.Logits(ids), expected) << bytes << " bytes";
  }
}

TEST_F(ExpertCacheResizeTest, BetweenTheStepsOfOneSequence) {
  OnGpu gpu = Tiny({.cached_experts = AllExperts(), .fixed_fetch = 1});
  const std::vector<int32_t>& ids = TheGolden().ids(kResizeLongPrompt);
  const ExpertCacheMemory all = Cache(gpu);
  std::vector<float> logits = gpu.Logits({ids.begin(), ids.begin() + 2});
  int64_t chunks = all.bytes / all.chunk_bytes;
  for (size_t i = 2; i < ids.size(); ++i) {
    if (i % 3 == 0) Resize(gpu, (static_cast<int64_t>(i) * 7 % (chunks + 1)) * all.chunk_bytes);
    const std::vector<float> row = gpu.Decode({{.slot = 0, .id = ids[i]}});
    logits.insert(logits.end(), row.begin(), row.end());
  }
  EXPECT_TRUE(RelativeErrorWithin(logits, TheGolden().logits(kResizeLongPrompt), kResizeRule));
}

// A prompt's seed and the steps after it leave copies under way; none of them may land in what has been given back.
TEST_F(ExpertCacheResizeTest, WhilePromotionsAreUnderWay) {
  OnGpu gpu = Tiny({.cached_experts = AllExperts() / 2});
  const ExpertCacheMemory all = Cache(gpu);
  ASSERT_GE(all.bytes / all.chunk_bytes, 2);
  for (int round = 0; round < 8; ++round) {
    const std::vector<int32_t>& ids = TheGolden().ids(round % 4);
    gpu.Reset();
    gpu.Append({ids.begin(), ids.end() - 1});
    Resize(gpu, round % 2 == 0 ? 0 : all.chunk_bytes);
    gpu.Decode({{.slot = 0, .id = ids.back()}});
    Resize(gpu, all.bytes);
    for (int step = 0; step < 4; ++step) gpu.Decode({{.slot = 0, .id = ids.back()}});
    Resize(gpu, all.chunk_bytes);
    Resize(gpu, all.bytes);
  }
  EXPECT_GT(gpu.model->expert_stats()->promoted, 0);
  ExpectAgrees(gpu, 3);
}

TEST_F(ExpertCacheResizeTest, TheDriverGetsTheMemory) {
  OnGpu gpu = Tiny({.cached_experts = AllExperts()});
  const int64_t all = Cache(gpu).bytes;
  const int64_t before = ReadGpuMemory()->free_bytes;
  Resize(gpu, 0);
  EXPECT_GE(ReadGpuMemory()->free_bytes, before + all);
  Resize(gpu, all);
  EXPECT_LE(ReadGpuMemory()->free_bytes, before + SlotGeometry::kPageBytes);
}

// Another process holds the memory; here it is a buffer of this one.
TEST_F(ExpertCacheResizeTest, StartsWithWhatThereIsAndTakesTheRestLater) {
  const Checkpoint checkpoint = Checkpoint::Open(kTiny).value();
  const ModelConfig config = LoadModelConfig(kTiny).value();
  CudaModelOptions options = {.context = kResizeContext, .cached_experts = AllExperts()};
  options.least_chunk_bytes = SlotGeometry::kPageBytes;
  CudaModelOptions none = options;
  none.cached_experts = 0;
  const int64_t whole = CudaModel::Plan(CheckpointSource(checkpoint), config, options)->vram_bytes();
  const int64_t least = CudaModel::Plan(CheckpointSource(checkpoint), config, none)->vram_bytes();
  options.vram_bytes = whole;
  {
    OnGpu first = Tiny(options);  // what the context and the code take for good has been taken
    EXPECT_TRUE(first.model->warnings().empty());
  }
  // Enough for half of the cache. Of the plan, the context is in place already.
  const int64_t leave = least - kContextBytes + (whole - least) / 2;
  DeviceBuffer other = DeviceBuffer::Allocate(ReadGpuMemory()->free_bytes - leave, "somebody else").value();
  std::once_flag gone;
  ThreadPool pool(4);
  options.kernels = &BestKernels();
  // It goes when the slots have been taken, for graphs need some memory, too.
  const auto progress = [&](const LoadProgress&) { std::call_once(gone, [&] { other = DeviceBuffer(); }); };
  auto loaded = CudaModel::Load(CheckpointSource(checkpoint), config, options, gpu_, pool, progress);
  ASSERT_TRUE(loaded.ok()) << loaded.status().message();
  CudaModel& model = **loaded;
  const ExpertCacheMemory cache = model.expert_cache().value();
  EXPECT_EQ(cache.planned_experts, AllExperts());
  EXPECT_LT(cache.bytes, cache.planned_bytes);
  ASSERT_EQ(model.warnings().size(), 1u);
  EXPECT_NE(model.warnings()[0].find("the expert cache was planned with"), std::string::npos) << model.warnings()[0];
  const auto expect_agrees = [&] {
    const std::vector<int32_t>& ids = TheGolden().ids(1);
    std::vector<float> logits(ids.size() * static_cast<size_t>(config.vocab_size));
    ASSERT_TRUE(model.Reset(0).ok());
    for (size_t i = 0; i < ids.size(); ++i) {
      const std::span<float> row =
          std::span(logits).subspan(i * static_cast<size_t>(config.vocab_size), static_cast<size_t>(config.vocab_size));
      const Status status = i == 0 ? model.Forward(0, {&ids[0], 1}, {.logits = row.data(), .logit_rows = 1})
                                   : model.Decode({{CudaModel::Row{.slot = 0, .id = ids[i]}}}, row);
      ASSERT_TRUE(status.ok()) << status.message();
    }
    EXPECT_TRUE(RelativeErrorWithin(logits, TheGolden().logits(1), kResizeRule));
  };
  expect_agrees();
  ASSERT_TRUE(model.ResizeExpertCache(cache.planned_bytes).ok());
  EXPECT_EQ(model.expert_cache()->experts, AllExperts());
  EXPECT_TRUE(model.warnings().empty());
  expect_agrees();
}

TEST_F(ExpertCacheResizeTest, MemoryThatOthersHoldCannotBeTakenAndHarmsNothing) {
  OnGpu gpu = Tiny({.cached_experts = AllExperts()});
  const int64_t all = Cache(gpu).bytes;
  ExpectAgrees(gpu, 1);
  Resize(gpu, 0);
  std::vector<DeviceBuffer> others;
  for (int64_t bytes = ReadGpuMemory()->free_bytes; bytes >= SlotGeometry::kPageBytes;) {
    Result<DeviceBuffer> taken = DeviceBuffer::Allocate(bytes, "somebody else");
    if (taken.ok()) {
      others.push_back(std::move(taken).value());
    } else {
      bytes /= 2;
    }
  }
  const Status refused = gpu.model->ResizeExpertCache(all);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(refused.message().rfind("GPU memory: ", 0), 0u) << refused.message();
  EXPECT_LT(Cache(gpu).bytes, all);
  ExpectAgrees(gpu, 1);
  others.clear();
  Resize(gpu, all);
  ExpectAgrees(gpu, 1);
}

TEST_F(ExpertCacheResizeTest, AModelThatFitsHasNothingToGive) {
  OnGpu gpu = Tiny({});
  EXPECT_FALSE(gpu.model->expert_cache().has_value());
  EXPECT_EQ(gpu.model->ResizeExpertCache(0).code(), StatusCode::kUnsupported);
}

}  // namespace
}  // namespace qnext::cuda
