// Synthetic weights through the whole forward pass, and simulated routing.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <numeric>

#include "checkpoint/synthetic_testing.h"
#include "kernels/cpu/cpu_kernels.h"
#include "model/model.h"

namespace qnext {
namespace {

const Kernels& BestKernels() {
  Result<const Kernels*> kernels = SelectCpuKernels(DetectCpuFeatures(), std::nullopt);
  QNEXT_CHECK(kernels.ok(), "no kernels");
  return **kernels;
}

struct InPlace {
  ThreadPool pool{2};
  ModelConfig config;
  std::unique_ptr<Model> model;

  InPlace(const SyntheticKind& kind, const ModelOptions& options) : config(SyntheticConfig(kind).value()) {
    const SyntheticCheckpoint source(config, 5);
    Result<std::unique_ptr<Model>> loaded = Model::LoadFrom(source, config, options, BestKernels(), pool);
    QNEXT_CHECK(loaded.ok(), loaded.status().message().c_str());
    model = std::move(loaded).value();
  }
};

std::vector<int32_t> SomeIds(int64_t count) {
  std::vector<int32_t> ids(static_cast<size_t>(count));
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>((i * 37 + 11) % 512);
  return ids;
}

std::vector<float> LastLogits(Model& model, SequenceState& state, const std::vector<int32_t>& ids) {
  std::vector<float> logits(static_cast<size_t>(model.config().vocab_size));
  const Status status = model.Forward(ids, state, {.logits = logits.data(), .logit_rows = 1});
  QNEXT_CHECK(status.ok(), status.message().c_str());
  return logits;
}

// Neither dying out nor blowing up: a normed layer adds about as much as it reads, so sizes grow with the root of the
// depth.
TEST(Synthetic, ActivationsStayFiniteThrough48Layers) {
  constexpr int64_t kTokens = 24;
  for (const char* name : {"80b-a", "80b-b"}) {
    InPlace in_place(ReducedKind(name), {});
    const int64_t width = in_place.config.hidden_size, rows = in_place.config.num_layers + 1;
    std::vector<float> hidden(static_cast<size_t>(rows * kTokens * width));
    const auto state = in_place.model->NewSequence(kTokens);
    ASSERT_TRUE(in_place.model->Forward(SomeIds(kTokens), *state, {.hidden_states = hidden.data()}).ok());
    for (int64_t row = 0; row < rows; ++row) {
      double squares = 0;
      for (int64_t i = 0; i < kTokens * width; ++i) {
        const double x = hidden[static_cast<size_t>(row * kTokens * width + i)];
        squares += x * x;
      }
      const double size = std::sqrt(squares / static_cast<double>(kTokens * width));
      EXPECT_TRUE(std::isfinite(size) && size > 0.1 && size < 100) << name << " layer " << row << ": " << size;
    }
  }
}

TEST(Synthetic, AFolderThatWasWrittenGivesTheLogitsOfWeightsMadeInPlace) {
  std::vector<SyntheticKind> kinds = {ReducedKind("80b-a-4layers"), ReducedKind("80b-b-4layers")};
  for (const nlohmann::json& changes : FormatChanges()) kinds.push_back(ReducedKind("80b-a-4layers", changes));
  const std::string folder = ::testing::TempDir() + "qnext_synthetic_model_test";
  for (const SyntheticKind& kind : kinds) {
    SCOPED_TRACE(kind.config_json);
    std::filesystem::remove_all(folder);
    InPlace in_place(kind, {});
    const Status wrote = WriteSynthetic(kind, folder, {.seed = 5}, in_place.pool, [](int64_t, int64_t) {});
    ASSERT_TRUE(wrote.ok()) << wrote.message();
    const Checkpoint checkpoint = Checkpoint::Open(folder).value();
    const ModelConfig config = LoadModelConfig(folder).value();
    const Result<std::unique_ptr<Model>> loaded = Model::Load(checkpoint, config, {}, BestKernels(), in_place.pool);
    ASSERT_TRUE(loaded.ok()) << loaded.status().message();
    const auto one = in_place.model->NewSequence(100), two = (*loaded)->NewSequence(100);
    EXPECT_EQ(LastLogits(*in_place.model, *one, SomeIds(20)), LastLogits(**loaded, *two, SomeIds(20)));
    EXPECT_EQ(LastLogits(*in_place.model, *one, {7}), LastLogits(**loaded, *two, {7}));
  }
  std::filesystem::remove_all(folder);
}

// The experts that a model with simulated routing runs, in prefill blocks, in decode and past the end of the list.
TEST(SimulatedRouting, ChoosesByLayerAndPosition) {
  const SyntheticKind kind = ReducedKind("80b-a-4layers");
  const ModelConfig config = SyntheticConfig(kind).value();
  const int64_t top = config.num_experts_per_token;
  for (const Routing rule : {Routing::kUniform, Routing::kRecency}) {
    const ForcedRouting routing(rule, config, 3, /*positions=*/42);
    InPlace in_place(kind, {.max_block_tokens = 16, .routing = &routing});
    const auto state = in_place.model->NewSequence(100);
    for (const int64_t tokens : {int64_t{40}, int64_t{1}, int64_t{1}, int64_t{1}, int64_t{20}, int64_t{1}}) {
      const int64_t start = state->tokens();
      std::vector<int32_t> experts(static_cast<size_t>(4 * tokens * top));
      std::vector<float> weights(experts.size());
      ASSERT_TRUE(in_place.model
                      ->Forward(SomeIds(tokens), *state, {.experts = experts.data(), .expert_weights = weights.data()})
                      .ok());
      for (int64_t row = 0; row < 4 * tokens; ++row) {
        const int64_t layer = row / tokens, position = start + row % tokens;
        const auto mine = experts.begin() + row * top;
        EXPECT_TRUE(std::equal(mine, mine + top, routing.At(layer, position))) << layer << " " << position;
        const auto weight = weights.begin() + row * top;
        EXPECT_NEAR(std::accumulate(weight, weight + top, 0.0), 1, 1e-5);
      }
    }
  }
}

TEST(SimulatedRouting, ComputesWhatAnExplicitListOfTheSameExpertsComputes) {
  const SyntheticKind kind = ReducedKind("80b-a-4layers");
  const ModelConfig config = SyntheticConfig(kind).value();
  const ForcedRouting routing(Routing::kUniform, config, 9);
  InPlace simulated(kind, {.routing = &routing}), real(kind, {});
  const int64_t tokens = 30, top = config.num_experts_per_token;
  std::vector<int32_t> list;
  for (int64_t layer = 0; layer < 4; ++layer) {
    for (int64_t t = 0; t < tokens; ++t) list.insert(list.end(), routing.At(layer, t), routing.At(layer, t) + top);
  }
  const auto one = simulated.model->NewSequence(100), two = real.model->NewSequence(100),
             free = real.model->NewSequence(100);
  std::vector<float> logits(static_cast<size_t>(config.vocab_size));
  ASSERT_TRUE(
      real.model
          ->Forward(SomeIds(tokens), *two, {.logits = logits.data(), .logit_rows = 1, .forced_experts = list.data()})
          .ok());
  EXPECT_EQ(LastLogits(*simulated.model, *one, SomeIds(tokens)), logits);
  EXPECT_NE(LastLogits(*real.model, *free, SomeIds(tokens)), logits);
}

}  // namespace
}  // namespace qnext
