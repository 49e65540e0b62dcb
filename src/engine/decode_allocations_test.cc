// No heap allocation per decoded token: not in the forward pass, not in the engine's loop around it.
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

#include "allocation_counter.h"
#include "checkpoint/synthetic_testing.h"
#include "engine/engine.h"
#include "engine/testing.h"
#include "model/model.h"

namespace qnext {
namespace {

// Keeps the compiler from leaving out an allocation that nobody uses.
void* volatile sink = nullptr;

class AllocationCountTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!AllocationsAreCounted()) GTEST_SKIP() << "a sanitizer has replaced malloc";
  }
};

// The counter itself.

TEST_F(AllocationCountTest, SeesEveryWayToAllocate) {
  const auto counted = [](const auto& allocate) {
    AllocationCount allocations;
    allocate();
    return allocations.count();
  };
  EXPECT_EQ(counted([] {}), 0);
  EXPECT_EQ(counted([] { sink = std::malloc(10), std::free(sink); }), 1);
  EXPECT_EQ(counted([] { sink = std::calloc(10, 10), std::free(sink); }), 1);
  EXPECT_EQ(counted([] { sink = std::realloc(nullptr, 10), std::free(sink); }), 1);
  EXPECT_EQ(counted([] { sink = std::aligned_alloc(64, 128), std::free(sink); }), 1);
  EXPECT_EQ(counted([] {
              auto* number = new int(1);
              sink = number;
              delete number;
            }),
            1);
  EXPECT_EQ(counted([] { sink = std::make_unique<AlignedBuffer<float>>(100).get(); }), 2);
  EXPECT_EQ(counted([] {
              std::vector<int> numbers;
              for (int i = 0; i < 4; ++i) numbers.push_back(i);
              sink = numbers.data();
            }),
            3);  // of 1, 2 and 4 numbers
  std::vector<int> held(100);
  EXPECT_EQ(counted([&] { held.assign(50, 3), held.push_back(4); }), 0);
}

TEST_F(AllocationCountTest, SeesOtherThreads) {
  ThreadPool pool(3);
  AllocationCount allocations;
  pool.ParallelFor(30, 1, [](Range, int) { std::this_thread::yield(); });
  EXPECT_EQ(allocations.count(), 0);
  pool.ParallelFor(30, 1, [](Range, int) { sink = std::malloc(8); });
  EXPECT_EQ(allocations.count(), 30);
}

// The forward pass.

struct Case {
  const char* name;
  SyntheticKind kind;
  ModelOptions options;
};

std::vector<Case> Cases() {
  const nlohmann::json act_order = {{"quantization_config", {{"desc_act", true}, {"sym", false}}}};
  const nlohmann::json dense_layers = {{"mlp_only_layers", {1}}, {"intermediate_size", 256}};
  return {{"group 128", ReducedKind("80b-a-4layers"), {}},
          {"experts only", ReducedKind("80b-b-4layers"), {}},
          {"float32", ReducedKind("80b-a-4layers"), {.activations = Activations::kFloat32, .kv_type = KvType::kF32}},
          {"act-order", ReducedKind("80b-a-4layers", act_order), {.kv_type = KvType::kInt8}},
          {"act-order, float32", ReducedKind("80b-a-4layers", act_order), {.activations = Activations::kFloat32}},
          {"a dense layer", ReducedKind("80b-a-4layers", dense_layers), {.kv_type = KvType::kF8E4M3}},
          {"nothing quantized", ReducedKind("80b-a-4layers", {{"quantization_config", nullptr}}), {}}};
}

const Kernels& BestKernels() {
  static const Result<const Kernels*> kernels = SelectCpuKernels(DetectCpuFeatures(), std::nullopt);
  QNEXT_CHECK(kernels.ok(), "no kernels");
  return *kernels.value();
}

// Allocations of 70 decoded tokens, one of which begins a page, after a prompt and two tokens to warm up.
int64_t AllocationsOfDecoding(const SyntheticKind& kind, const ModelOptions& options, const Kernels& kernels,
                              int threads) {
  const ModelConfig config = SyntheticConfig(kind).value();
  ThreadPool pool(threads);
  const auto model =
      Model::LoadFrom(SyntheticCheckpoint(config, kSyntheticSeed), config, options, kernels, pool).value();
  const auto state = model->NewSequence(200);
  QNEXT_CHECK(state->Reserve(200).ok(), "room");
  std::vector<float> logits(static_cast<size_t>(config.vocab_size));
  const auto run = [&](const std::vector<int32_t>& ids) {
    return model->Forward(ids, *state, {.logits = logits.data(), .logit_rows = 1}).ok();
  };
  bool ok = run(std::vector<int32_t>(20, 3)) && run({1}) && run({2});
  std::vector<int32_t> next = {5};
  AllocationCount allocations;
  for (int i = 0; i < 70; ++i) {
    ok = ok && run(next);
    next[0] = (next[0] * 31 + 7) % 512;
  }
  const int64_t count = allocations.count();
  EXPECT_TRUE(ok);
  return count;
}

class DecodeAllocationsTest : public AllocationCountTest {};

TEST_F(DecodeAllocationsTest, TheForwardPassHasNone) {
  for (const Case& one : Cases()) {
    for (const int threads : {1, 3}) {
      EXPECT_EQ(AllocationsOfDecoding(one.kind, one.options, BestKernels(), threads), 0)
          << one.name << ", " << threads << " threads";
    }
  }
}

TEST_F(DecodeAllocationsTest, NorWithSimulatedRouting) {
  const SyntheticKind kind = ReducedKind("80b-a-4layers");
  const ForcedRouting routing(Routing::kRecency, SyntheticConfig(kind).value(), 1);
  EXPECT_EQ(AllocationsOfDecoding(kind, {.routing = &routing}, BestKernels(), 2), 0);
}

// What the test above would say of an op that allocates once per token.
TEST_F(DecodeAllocationsTest, AnAllocationInOneOpOfOneLayerIsFound) {
  Kernels leaking = BestKernels();
  leaking.combine_experts = [](const CombineExpertsArgs& args, Range tokens) {
    sink = std::make_unique<std::vector<float>>(static_cast<size_t>(args.dim)).get();
    BestKernels().combine_experts(args, tokens);
  };
  EXPECT_EQ(AllocationsOfDecoding(ReducedKind("80b-a-4layers"), {}, leaking, 2), 70 * 4 * 2);
}

// The engine's loop: sampling, detokenizing, stop strings, the caller's hook.

class EngineAllocationsTest : public AllocationCountTest {
 protected:
  // Allocations between the hooks of the third and of the last token, in the second of two equal requests: the first
  // one takes the KV pages.
  int64_t AllocationsOf(const Request& request) {
    static const std::unique_ptr<Engine> engine = [] {
      EngineOptions options;
      options.load.folder = TinyFolder();
      options.load.threads.threads = 2;
      return Engine::Load(options).value();
    }();
    Request asked = request;
    asked.prompt_ids = engine->tokenizer().Encode("In the beginning");
    asked.max_tokens = 100;
    asked.ignore_eos = true;
    int64_t last = 0;
    for (int round = 0; round < 2; ++round) {
      std::unique_ptr<AllocationCount> allocations;
      int64_t tokens = 0;
      last = 0;
      const auto hook = [&](const Piece&) {
        if (++tokens == 3) allocations = std::make_unique<AllocationCount>();
        if (allocations) last = allocations->count();
        return true;
      };
      const Result<GenerationResult> result =
          engine->Generate(asked, {.on_piece = hook, .cancelled = [] { return false; }});
      EXPECT_TRUE(result.ok());
      EXPECT_EQ(tokens, 100);
    }
    return last;
  }
};

TEST_F(EngineAllocationsTest, TheLoopHasNone) {
  Request greedy;
  greedy.sampling.temperature = 0;
  EXPECT_EQ(AllocationsOf(greedy), 0);
  Request sampled;
  sampled.sampling = {.temperature = 0.7, .top_k = 20, .top_p = 0.8, .seed = 3};
  EXPECT_EQ(AllocationsOf(sampled), 0);
  Request everything;
  everything.sampling = {.temperature = 1.3,
                         .top_p = 0.9,
                         .min_p = 0.01,
                         .presence_penalty = 0.5,
                         .frequency_penalty = 0.5,
                         .repetition_penalty = 1.1,
                         .logit_bias = {{17, 1.0f}},
                         .seed = 3};
  EXPECT_EQ(AllocationsOf(everything), 0);
}

}  // namespace
}  // namespace qnext
