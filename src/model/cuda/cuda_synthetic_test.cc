// Four layers of the 80B's shapes, with made-up weights, on a GPU.
#include <gtest/gtest.h>

#include <cmath>

#include "checkpoint/synthetic.h"
#include "compare.h"
#include "model/cuda/cuda_testing.h"

namespace qnext::cuda {
namespace {

// One layer, inputs and experts forced, against the CPU's int8 arithmetic: docs/numerics.md, "A layer on the GPU". Up
// to kMaxDecodeRows rows dense products are float32; above, their activations are rounded to the weights' type.
constexpr double kLayerDecode = 5e-3;
constexpr double kLayerPrefill = 1.35e-2;

std::vector<int32_t> SomeIds(size_t count, int64_t vocab) {
  std::vector<int32_t> ids(count);
  for (size_t i = 0; i < count; ++i) ids[i] = static_cast<int32_t>((i * 7919 + 11) % static_cast<size_t>(vocab));
  return ids;
}

class CudaSyntheticTest : public GpuTest, public ::testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    GpuTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    const SyntheticKind kind = FindSyntheticKind(GetParam()).value();
    config_ = ParseModelConfig(kind.config_json, kind.name).value();
    source_ = std::make_unique<SyntheticCheckpoint>(config_, 5);
  }
  void CheckFinite(const AllOutputs& all, size_t tokens) {
    const size_t size = tokens * static_cast<size_t>(config_.hidden_size);
    for (int64_t row = 0; row <= config_.num_layers; ++row) {
      double squares = 0;
      for (size_t i = 0; i < size; ++i) {
        const double x = static_cast<double>(all.hidden[static_cast<size_t>(row) * size + i]);
        squares += x * x;
      }
      const double rms = std::sqrt(squares / static_cast<double>(size));
      EXPECT_TRUE(std::isfinite(rms) && rms > 1e-3 && rms < 1e3) << "layer " << row << ": " << rms;
    }
    for (const float logit : all.logits) ASSERT_TRUE(std::isfinite(logit));
  }

  ModelConfig config_;
  std::unique_ptr<SyntheticCheckpoint> source_;
};

TEST_P(CudaSyntheticTest, EveryLayerIsFiniteAndAgreesWithTheCpu) {
  ThreadPool pool(8);
  const auto cpu = Model::LoadFrom(*source_, config_, {.kv_type = KvType::kF32}, BestKernels(), pool).value();
  OnGpu gpu(*source_, config_, {.kv_type = KvType::kF32, .context = 256}, gpu_);
  for (const size_t tokens : {size_t{1}, size_t{3}, size_t{8}, size_t{100}}) {
    SCOPED_TRACE(tokens);
    const std::vector<int32_t> ids = SomeIds(tokens, config_.vocab_size);
    AllOutputs expected(config_, tokens), actual(config_, tokens), forced(config_, tokens);
    const auto state = cpu->NewSequence(256), again = cpu->NewSequence(256);
    ASSERT_TRUE(cpu->Forward(ids, *state, expected.Ask(tokens)).ok());
    const std::vector<float> inputs = LayerInputs(config_, expected, tokens);
    gpu.Reset();
    ForwardOutputs ask = actual.Ask(tokens);
    ask.forced_experts = expected.experts.data();
    ask.forced_inputs = inputs.data();
    OnGpu::Must(gpu.model->Forward(0, ids, ask));
    CheckFinite(actual, tokens);
    ExpectLayersWithin(config_, inputs, actual.hidden, expected.hidden, tokens,
                       tokens <= static_cast<size_t>(kMaxDecodeRows) ? kLayerDecode : kLayerPrefill);
  }
}

TEST_P(CudaSyntheticTest, SimulatedRoutingRunsTheExpertsOfTheListInPrefillAndInGraphs) {
  for (const Routing kind : {Routing::kUniform, Routing::kRecency}) {
    const ForcedRouting routing(kind, config_, 3, /*positions=*/90);
    OnGpu simulated(*source_, config_, {.context = 256, .routing = &routing}, gpu_);
    OnGpu plain(*source_, config_, {.context = 256}, gpu_);
    // A prefill, and a second one past the end of the list: what ran is what the list says.
    const int64_t top = config_.num_experts_per_token;
    const auto listed = [&](int64_t start, int64_t tokens) {
      std::vector<int32_t> experts;
      for (int64_t layer = 0; layer < routing.layers(); ++layer) {
        for (int64_t t = 0; t < tokens; ++t) {
          const auto* chosen = routing.At(layer, start + t);
          experts.insert(experts.end(), chosen, chosen + top);
        }
      }
      return experts;
    };
    for (const auto& [start, tokens] : {std::pair<int64_t, int64_t>{0, 70}, {70, 40}, {110, 5}}) {
      AllOutputs all(config_, static_cast<size_t>(tokens));
      const std::vector<int32_t> ids = SomeIds(static_cast<size_t>(tokens), config_.vocab_size);
      OnGpu::Must(simulated.model->Forward(0, ids, all.Ask(static_cast<size_t>(tokens))));
      EXPECT_EQ(all.experts, listed(start, tokens)) << start;
      CheckFinite(all, static_cast<size_t>(tokens));
    }
    // Decode steps give what a model gives that is told the same experts by hand.
    const std::vector<int32_t> ids = SomeIds(20, config_.vocab_size);
    const std::vector<float> by_graph = simulated.DecodeLogits(ids, 12);
    plain.Reset();
    std::vector<float> by_hand(20 * plain.vocab());
    for (const auto& [start, tokens] : {std::pair<int64_t, int64_t>{0, 12}, {12, 1}, {13, 1}, {14, 1}}) {
      const std::vector<int32_t> experts = listed(start, tokens);
      OnGpu::Must(plain.model->Forward(0, {ids.data() + start, static_cast<size_t>(tokens)},
                                       {.logits = by_hand.data() + static_cast<size_t>(start) * plain.vocab(),
                                        .logit_rows = tokens,
                                        .forced_experts = experts.data()}));
    }
    const size_t compared = 15 * plain.vocab();
    EXPECT_EQ(std::vector<float>(by_graph.begin(), by_graph.begin() + static_cast<std::ptrdiff_t>(compared)),
              std::vector<float>(by_hand.begin(), by_hand.begin() + static_cast<std::ptrdiff_t>(compared)));
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, CudaSyntheticTest, ::testing::Values("80b-a-4layers", "80b-b-4layers"),
                         [](const auto& kind) { return kind.param[4] == 'a' ? "Group128" : "ExpertsOnly"; });

}  // namespace
}  // namespace qnext::cuda
