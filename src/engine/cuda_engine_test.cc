// The engine on a GPU: tokens chosen there are those that the Sampler chooses from the same logits.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "engine/device.h"
#include "engine/engine.h"
#include "engine/sampler.h"
#include "engine/testing.h"
#include "gpu_test.h"

namespace qnext {
namespace {

ModelLoadOptions TinyLoad(Device device) {
  ModelLoadOptions options;
  options.folder = TinyFolder();
  options.device = device;
  options.threads.threads = 2;
  return options;
}

class CudaEngineTest : public GpuTest {
 protected:
  void SetUp() override {
    GpuTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    Result<std::unique_ptr<Engine>> loaded = Engine::Load({.load = TinyLoad(Device::kAuto), .context = 1024});
    ASSERT_TRUE(loaded.ok()) << loaded.status().message();
    engine_ = std::move(loaded).value();
  }
  std::unique_ptr<Engine> engine_;
};

TEST_F(CudaEngineTest, TakesTheGpuWhereNobodySaysOtherwise) {
  EXPECT_EQ(engine_->info().device, "cuda");
  EXPECT_NE(engine_->info().gpu.find("compute capability"), std::string::npos) << engine_->info().gpu;
  EXPECT_TRUE(engine_->info().fallback.empty());
  EXPECT_GT(engine_->info().vram_bytes, engine_->info().weight_bytes);
  EXPECT_EQ(engine_->info().kernels.rfind("cuda-", 0), 0u);
}

// The golden continuations up to the first end of an answer.
void ExpectReferenceContinuations(Engine& engine) {
  const std::string golden = ReadFileToString(QNEXT_SOURCE_DIR "/tests/golden/reference.json").value();
  for (const nlohmann::json& entry : nlohmann::json::parse(golden)) {
    Request request;
    request.prompt_ids = engine.tokenizer().Encode(entry["prompt"].get<std::string>());
    request.sampling.temperature = 0;
    request.max_tokens = 32;
    const Result<GenerationResult> result = engine.Generate(request);
    ASSERT_TRUE(result.ok()) << result.status().message();
    std::string expected = entry["continuation"];
    expected.resize(std::min(expected.find("<|im_end|>"), expected.find("<|endoftext|>")));
    EXPECT_EQ(result->text, expected);
  }
}

TEST_F(CudaEngineTest, ContinuesAsTheReferenceDoesUpToTheFirstEos) {
  ExpectReferenceContinuations(*engine_);
  EXPECT_FALSE(engine_->expert_stats().has_value());
}

TEST_F(CudaEngineTest, ContinuesAsTheReferenceDoesWithExpertsInRam) {
  for (const bool segments : {false, true}) {
    EngineOptions options{.load = TinyLoad(Device::kCuda), .context = 256};
    options.load.cached_experts = 60;
    options.load.handshake_segments = segments;
    const auto engine = Engine::Load(options).value();
    EXPECT_EQ(engine->info().cached_experts, 60);
    ExpectReferenceContinuations(*engine);
    const ExpertStats stats = engine->expert_stats().value();
    EXPECT_GT(stats.steps, 0);
    EXPECT_GT(stats.hits, 0);
    EXPECT_GT(stats.cpu + stats.fetched, 0);
    EXPECT_LE(stats.hits + stats.cpu, stats.choices);
    EXPECT_GT(stats.step_seconds, 0);
  }
}

// logprobs make the engine take the logits to the host and choose there.
TEST_F(CudaEngineTest, ChoosesOnTheGpuWhatTheSamplerChoosesFromTheSameLogits) {
  const std::vector<SamplingParams> all = {
      {.temperature = 0},
      {.temperature = 1},
      {.temperature = 0.7, .top_k = 20, .top_p = 0.8},
      {.temperature = 1.5, .top_k = 1000},
      {.temperature = 1.3, .top_p = 0.9},
      {.temperature = 1.3, .min_p = 0.05},
      {.temperature = 0, .presence_penalty = 1.5, .frequency_penalty = 0.5, .repetition_penalty = 1.3},
      {.temperature = 1.1,
       .top_k = 50,
       .top_p = 0.95,
       .min_p = 0.01,
       .presence_penalty = 0.5,
       .frequency_penalty = 0.5,
       .repetition_penalty = 1.1,
       .logit_bias = {{17, 3.0f}, {100, -100.0f}}},
      {.temperature = 0, .logit_bias = {{300, 100.0f}}}};
  for (size_t i = 0; i < all.size(); ++i) {
    Request request;
    request.prompt_ids = engine_->tokenizer().Encode("In the beginning");
    request.sampling = all[i];
    request.sampling.seed = 100 + i;
    request.max_tokens = 120;
    request.ignore_eos = true;
    const std::vector<int32_t> on_gpu = engine_->Generate(request)->token_ids;
    EXPECT_EQ(engine_->Generate(request)->token_ids, on_gpu) << "parameters " << i << ", twice";
    request.sampling.logprobs = true;
    const GenerationResult on_host = engine_->Generate(request).value();
    EXPECT_EQ(on_host.token_ids, on_gpu) << "parameters " << i;
    ASSERT_EQ(on_host.logprobs.size(), on_host.token_ids.size());
  }
}

TEST_F(CudaEngineTest, RequestsFollowEachOtherWithoutTraces) {
  const auto ask = [&](const char* prompt, uint64_t seed) {
    Request request;
    request.prompt_ids = engine_->tokenizer().Encode(prompt);
    request.sampling = {.temperature = 1.2, .repetition_penalty = 1.2, .seed = seed};
    request.max_tokens = 40;
    return engine_->Generate(request)->token_ids;
  };
  const auto first = ask("In the beginning", 3);
  EXPECT_NE(ask("The capital of France", 4), first);
  EXPECT_EQ(ask("In the beginning", 3), first);
}

TEST_F(CudaEngineTest, APieceCanEndTheAnswer) {
  Request request;
  request.prompt_ids = engine_->tokenizer().Encode("In the beginning");
  request.ignore_eos = true;
  request.max_tokens = 100;
  int pieces = 0;
  const GenerationResult result =
      engine_->Generate(request, {.on_piece = [&](const Piece&) { return ++pieces < 7; }, .cancelled = nullptr})
          .value();
  EXPECT_EQ(result.finish_reason, FinishReason::kCancelled);
  EXPECT_EQ(result.token_ids.size(), 7u);
}

TEST_F(CudaEngineTest, TheCpuStaysTheCpu) {
  const auto engine = Engine::Load({.load = TinyLoad(Device::kCpu), .context = 256}).value();
  EXPECT_EQ(engine->info().device, "cpu");
  EXPECT_TRUE(engine->info().gpu.empty());
}

TEST_F(CudaEngineTest, WhatTheGpuCannotDoTheCpuDoes) {
  EngineOptions options{.load = TinyLoad(Device::kAuto), .context = 256};
  options.load.model.activations = Activations::kFloat32;
  const auto exact = Engine::Load(options).value();
  EXPECT_EQ(exact->info().device, "cpu");
  EXPECT_EQ(exact->info().fallback, "activations: the CUDA engine has int8 only");
  options = {.load = TinyLoad(Device::kAuto), .context = 256};
  options.load.vram_bytes = 1 << 20;
  const auto small = Engine::Load(options).value();
  EXPECT_EQ(small->info().device, "cpu");
  EXPECT_EQ(small->info().fallback.rfind("--vram: with 0 of 256 experts on the GPU the model needs ", 0), 0u);
  options.load.device = Device::kCuda;
  const Result<std::unique_ptr<Engine>> refused = Engine::Load(options);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(refused.status().message().rfind("device cuda: --vram: ", 0), 0u) << refused.status().message();
}

}  // namespace
}  // namespace qnext
