// A model whose experts are partly in RAM: against the published results and against the same model all in GPU memory,
// from nothing cached to everything, with misses fetched, computed by the CPU, or both.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "compare.h"
#include "model/cuda/cuda_testing.h"

namespace qnext::cuda {
namespace {

// docs/numerics.md, "When two results agree".
constexpr double kModelRule = 2.5e-2;
constexpr int64_t kContext = 512;
constexpr int kLongPrompt = 3;  // 196 tokens

class HybridModelTest : public GpuTest {
 protected:
  OnGpu Tiny(CudaModelOptions options) {
    options.context = kContext;
    return OnGpu::Tiny(options, gpu_);
  }
  static int64_t AllExperts() {
    const ModelConfig config = LoadModelConfig(kTiny).value();
    return static_cast<int64_t>(AllOutputs::MoeLayers(config)) * config.num_experts;
  }
  void ExpectAgrees(OnGpu& gpu, size_t prompt_tokens) {
    for (int prompt = 0; prompt < 4; ++prompt) {
      SCOPED_TRACE(::testing::Message() << "prompt " << prompt << ", " << prompt_tokens << " prefilled");
      const std::vector<int32_t>& ids = TheGolden().ids(prompt);
      const std::vector<float> logits = gpu.DecodeLogits(ids, std::min(prompt_tokens, ids.size()));
      EXPECT_TRUE(RelativeErrorWithin(logits, TheGolden().logits(prompt), kModelRule));
    }
  }
};

TEST_F(HybridModelTest, AgreesFromNothingCachedToEverything) {
  const int64_t all = AllExperts();
  for (const int64_t cached : {int64_t{0}, int64_t{7}, all / 4, all / 2, all}) {
    for (const std::optional<int64_t> fetch : {std::optional<int64_t>(0), std::optional<int64_t>(2), {}}) {
      SCOPED_TRACE(::testing::Message() << cached << " cached, fetch " << fetch.value_or(-1));
      OnGpu gpu = Tiny({.cached_experts = cached, .fixed_fetch = fetch});
      ASSERT_EQ(gpu.model->memory().cached_experts, cached);
      ExpectAgrees(gpu, 1);
      ExpectAgrees(gpu, 1000);
      const ExpertStats& stats = *gpu.model->expert_stats();
      EXPECT_GT(stats.steps, 0);
      if (cached == 0) {
        EXPECT_EQ(stats.hits + stats.fetched, 0);
      }
      if (cached == all && fetch == 0) {  // fetch slots come out of the same budget
        EXPECT_EQ(stats.cpu, 0);
      }
      if (fetch == 0) {
        EXPECT_EQ(stats.fetched, 0);
      }
      if (cached == all / 4 && fetch == 2) {
        EXPECT_GT(stats.fetched, 0);
      }
      if (cached == all / 4 && fetch == 0) {
        EXPECT_GT(stats.cpu, 0);
      }
    }
  }
}

TEST_F(HybridModelTest, GraphAndEagerGiveTheSameBits) {
  const std::vector<int32_t>& ids = TheGolden().ids(1);
  const CudaModelOptions options = {.cached_experts = AllExperts() / 3, .fixed_fetch = 1, .promotions = false};
  OnGpu graph = Tiny(options);
  CudaModelOptions eager_options = options;
  eager_options.graphs = false;
  OnGpu eager = Tiny(eager_options);
  const std::vector<float> expected = graph.DecodeLogits(ids, 3);
  EXPECT_EQ(eager.DecodeLogits(ids, 3), expected);
  EXPECT_EQ(graph.DecodeLogits(ids, 3), expected);
  // Experts that are computed elsewhere give other sums, but not by much.
  OnGpu resident = Tiny({});
  EXPECT_TRUE(RelativeErrorWithin(expected, resident.DecodeLogits(ids, 3), kModelRule));
}

TEST_F(HybridModelTest, PromptsGiveTheBitsOfAModelThatFits) {
  OnGpu resident = Tiny({});
  for (const int64_t cached : {int64_t{0}, AllExperts() / 2}) {
    OnGpu hybrid = Tiny({.cached_experts = cached});
    for (const size_t piece : {size_t{0}, size_t{50}, size_t{1000}}) {
      const std::vector<int32_t>& ids = TheGolden().ids(kLongPrompt);
      EXPECT_EQ(hybrid.Logits(ids, piece), resident.Logits(ids, piece)) << cached << " cached, pieces of " << piece;
    }
  }
}

TEST_F(HybridModelTest, SegmentsGiveTheBitsOfOneGraph) {
  const std::vector<int32_t>& ids = TheGolden().ids(1);
  CudaModelOptions options = {.cached_experts = AllExperts() / 3, .fixed_fetch = 1, .promotions = false};
  OnGpu graph = Tiny(options);
  options.handshake = Handshake::kSegments;
  OnGpu segments = Tiny(options);
  EXPECT_EQ(segments.DecodeLogits(ids, 3), graph.DecodeLogits(ids, 3));
}

// A worker that is stuck ends the request with an error, and the next one works.
TEST_F(HybridModelTest, TheGpuDoesNotWaitForEver) {
  for (const Handshake handshake : {Handshake::kGraph, Handshake::kSegments}) {
    std::atomic<int> stuck{0};
    OnGpu gpu = Tiny({.cached_experts = AllExperts() / 4,
                      .fixed_fetch = 0,
                      .promotions = false,
                      .handshake = handshake,
                      .wait_limit = std::chrono::milliseconds(100),
                      .before_serving = [&](int64_t layer) {
                        if (layer == 2 && stuck.exchange(0) != 0) {
                          std::this_thread::sleep_for(std::chrono::milliseconds(400));
                        }
                      }});
    const std::vector<int32_t>& ids = TheGolden().ids(1);
    const std::vector<float> expected = gpu.DecodeLogits(ids, 3);
    gpu.Reset();
    gpu.Append({ids.begin(), ids.begin() + 3});
    stuck = 1;
    std::vector<float> logits(gpu.vocab());
    Status status;
    for (int step = 0; step < 50 && status.ok(); ++step) {  // until one in which layer 2 has misses
      status = gpu.model->Decode({{CudaModel::Row{.slot = 0, .id = ids[3]}}}, logits);
    }
    if (handshake == Handshake::kGraph) {
      ASSERT_FALSE(status.ok());
      EXPECT_NE(status.message().find("in time"), std::string::npos) << status.message();
    } else {
      EXPECT_TRUE(status.ok()) << status.message();  // the GPU is not waiting while the CPU works
    }
    EXPECT_EQ(gpu.DecodeLogits(ids, 3), expected);
  }
}

TEST_F(HybridModelTest, ExpertsThatTheSystemDoesNotPinAreCopiedByTheDriverAndItSaysSo) {
  OnGpu gpu = Tiny({.cached_experts = AllExperts() / 4, .pin_experts = false});
  const std::vector<std::string> warnings = gpu.model->warnings();
  EXPECT_TRUE(std::ranges::any_of(warnings, [](const std::string& warning) {
    return warning.find("does not let the routed experts be pinned") != std::string::npos;
  }));
  ExpectAgrees(gpu, 1);
  ExpectAgrees(gpu, 1000);
  const ExpertStats& stats = *gpu.model->expert_stats();
  EXPECT_EQ(stats.fetched, 0);
  EXPECT_GT(stats.hits, 0);
  EXPECT_GT(stats.promoted, 0);
}

TEST_F(HybridModelTest, RamThatIsNotThereIsRefusedBeforeLoading) {
  const Checkpoint checkpoint = Checkpoint::Open(kTiny).value();
  ThreadPool pool(2);
  const Result<std::unique_ptr<CudaModel>> loaded = CudaModel::Load(
      CheckpointSource(checkpoint), LoadModelConfig(kTiny).value(),
      {.context = kContext, .cached_experts = 10, .kernels = &BestKernels(), .ram_bytes = 1 << 20}, gpu_, pool);
  ASSERT_FALSE(loaded.ok());
  EXPECT_EQ(loaded.status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(loaded.status().message().rfind("--ram: ", 0), 0u) << loaded.status().message();
}

TEST_F(HybridModelTest, SeveralRows) {
  const std::vector<int32_t>& ids = TheGolden().ids(2);
  for (const int64_t cached : {int64_t{5}, AllExperts() / 2}) {
    OnGpu one = Tiny({.slots = 1, .cached_experts = cached, .fixed_fetch = 0, .promotions = false});
    OnGpu gpu = Tiny({.slots = 8, .cached_experts = cached, .fixed_fetch = 0, .promotions = false});
    std::vector<CudaModel::Row> rows;
    for (int64_t slot = 0; slot < 8; ++slot) {
      gpu.Append({ids.begin(), ids.begin() + 3 + slot}, slot);
      rows.push_back({.slot = slot, .id = ids[static_cast<size_t>(3 + slot)]});
    }
    const std::vector<float> logits = gpu.Decode(rows);
    for (int64_t slot = 0; slot < 8; ++slot) {
      one.Reset();
      one.Append({ids.begin(), ids.begin() + 3 + slot}, 0);
      const std::vector<float> alone = one.Decode({{.slot = 0, .id = ids[static_cast<size_t>(3 + slot)]}});
      // Which experts are cached is the same, so the sums are, too.
      EXPECT_TRUE(std::equal(alone.begin(), alone.end(), logits.begin() + slot * static_cast<int64_t>(alone.size())))
          << "slot " << slot;
    }
  }
}

TEST(HybridPlan, TheBudgetDecidesWhatIsCached) {
  const Checkpoint checkpoint = Checkpoint::Open(kTiny).value();
  const CheckpointSource source(checkpoint);
  const ModelConfig config = LoadModelConfig(kTiny).value();
  const auto plan = [&](CudaModelOptions options) {
    options.context = kContext;
    return CudaModel::Plan(source, config, options);
  };
  // Slots are taken in whole pages of 2 MiB.
  const int64_t few = plan({.cached_experts = 20})->vram_bytes();
  const int64_t page = *plan({.vram_bytes = few})->cached_experts;
  EXPECT_GE(page, 20);
  EXPECT_EQ(plan({.cached_experts = page})->vram_bytes(), few);
  EXPECT_GT(plan({.cached_experts = page + 1})->vram_bytes(), few);
  EXPECT_EQ(plan({.vram_bytes = few - 1})->cached_experts, 0);
  EXPECT_EQ(plan({.vram_bytes = few})->vram_bytes(), few);
  const int64_t none = plan({.cached_experts = 0})->vram_bytes();
  EXPECT_EQ(plan({.vram_bytes = none})->cached_experts, 0);
  const Result<CudaMemoryPlan> too_small = plan({.vram_bytes = none - 1});
  ASSERT_FALSE(too_small.ok());
  EXPECT_EQ(too_small.status().code(), StatusCode::kResourceExhausted);
  EXPECT_NE(too_small.status().message().find("which is 1 B more than"), std::string::npos)
      << too_small.status().message();
}

}  // namespace
}  // namespace qnext::cuda
