// The whole forward pass on the bundled tiny checkpoint, against what Hugging Face's implementation computed in
// float32.
#include "model/model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "compare.h"
#include "model/testing.h"

namespace qnext {
namespace {

struct Loaded {
  ThreadPool pool{2};
  std::unique_ptr<Model> model;

  explicit Loaded(const ModelOptions& options, const Kernels& kernels) {
    Result<Checkpoint> checkpoint = Checkpoint::Open(kTiny);
    QNEXT_CHECK(checkpoint.ok(), checkpoint.status().message().c_str());
    Result<ModelConfig> config = LoadModelConfig(kTiny);
    QNEXT_CHECK(config.ok(), config.status().message().c_str());
    Result<std::unique_ptr<Model>> loaded = Model::Load(*checkpoint, *config, options, kernels, pool);
    QNEXT_CHECK(loaded.ok(), loaded.status().message().c_str());
    model = std::move(loaded).value();
  }

  int64_t vocab() const { return model->config().vocab_size; }
  int64_t width() const { return model->config().hidden_size; }

  // Logits [T, V] of ids on a fresh sequence, fed in pieces of `piece` tokens (0: all at once).
  std::vector<float> Logits(const std::vector<int32_t>& ids, size_t piece = 0) {
    auto state = model->NewSequence(static_cast<int64_t>(ids.size()));
    std::vector<float> logits(ids.size() * static_cast<size_t>(vocab()));
    const size_t step = piece == 0 ? ids.size() : piece;
    for (size_t at = 0; at < ids.size(); at += step) {
      const size_t n = std::min(step, ids.size() - at);
      const Status status = model->Forward(
          {ids.data() + at, n}, *state,
          {.logits = logits.data() + at * static_cast<size_t>(vocab()), .logit_rows = static_cast<int64_t>(n)});
      QNEXT_CHECK(status.ok(), status.message().c_str());
    }
    return logits;
  }

  // Logits of the last of `ids`, appended to `state`.
  std::vector<float> Append(SequenceState& state, const std::vector<int32_t>& ids) {
    std::vector<float> logits(static_cast<size_t>(vocab()));
    QNEXT_CHECK(model->Forward(ids, state, {.logits = logits.data(), .logit_rows = 1}).ok(), "forward");
    return logits;
  }
};

// The scalar reference is slow, and several times slower under a sanitizer, which has seen its code after one prompt.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kPromptsOfTheScalarReference = 1;
#else
constexpr int kPromptsOfTheScalarReference = 4;
#endif

void ExpectAgreesWithReferences(Loaded& loaded, double limit, float gap, int prompts = 4) {
  for (int prompt = 0; prompt < prompts; ++prompt) {
    const std::vector<int32_t>& ids = TheGolden().ids(prompt);
    const std::vector<float> logits = loaded.Logits(ids);
    EXPECT_TRUE(RelativeErrorWithin(logits, TheGolden().logits(prompt), limit)) << "prompt " << prompt;
    const size_t vocab = static_cast<size_t>(loaded.vocab());
    ExpectArgMax(logits, TheGolden().logits(prompt), vocab, gap);
    EXPECT_NEAR(CrossEntropy(logits, ids, vocab), CrossEntropy(TheGolden().logits(prompt), ids, vocab), 0.02);
  }
}

// The tiny model's 16-bit linears are lm_head and in_proj_ba.
TEST(DenseWeights, Int8IsSmallerAndNearTheReferences) {
  ModelOptions options = kInt8;
  Loaded stored(options, BestKernels());
  options.dense_weights = DenseWeights::kInt8;
  Loaded int8(options, BestKernels());
  const int64_t head = 4160 * 256;
  EXPECT_LT(int8.model->weight_bytes(), stored.model->weight_bytes() - head * 9 / 10);
  for (int prompt = 0; prompt < 4; ++prompt) {
    const std::vector<int32_t>& ids = TheGolden().ids(prompt);
    const std::vector<float> logits = int8.Logits(ids);
    EXPECT_TRUE(RelativeErrorWithin(logits, TheGolden().logits(prompt), 4e-2)) << "prompt " << prompt;
    EXPECT_NE(logits, stored.Logits(ids));
    ExpectArgMax(logits, TheGolden().logits(prompt), static_cast<size_t>(int8.vocab()), 0.25f);
  }
}

TEST(DenseWeights, Int8AgreesOnEveryPath) {
  ModelOptions options = kInt8;
  options.dense_weights = DenseWeights::kInt8;
  const std::vector<int32_t>& ids = TheGolden().ids(0);
  Loaded plain(options, ReferenceKernels());
  const std::vector<float> expected = plain.Logits(ids);
  for (const CpuIsa isa : SupportedCpuIsas(DetectCpuFeatures())) {
    Loaded loaded(options, CpuKernels(isa));
    EXPECT_TRUE(RelativeErrorWithin(loaded.Logits(ids), expected, 2.5e-2)) << CpuIsaName(isa);
  }
}

TEST(DenseWeights, Int8WantsInt8Activations) {
  ModelOptions options = kFloat;
  options.dense_weights = DenseWeights::kInt8;
  ThreadPool pool(1);
  const Result<std::unique_ptr<Model>> model =
      Model::Load(Checkpoint::Open(kTiny).value(), LoadModelConfig(kTiny).value(), options, BestKernels(), pool);
  ASSERT_FALSE(model.ok());
  EXPECT_EQ(model.status().code(), StatusCode::kInvalidArgument);
}

TEST(Golden, ScalarReferenceKernels) {
  Loaded loaded(kFloat, ReferenceKernels());
  ExpectAgreesWithReferences(loaded, 1e-4, 0, kPromptsOfTheScalarReference);
}

TEST(Golden, EveryCpuPathInFloat32) {
  for (CpuIsa isa : SupportedCpuIsas(DetectCpuFeatures())) {
    SCOPED_TRACE(CpuIsaName(isa));
    Loaded loaded(kFloat, CpuKernels(isa));
    ExpectAgreesWithReferences(loaded, 1e-4, 0);
  }
}

TEST(Golden, EveryCpuPathInInt8) {
  for (CpuIsa isa : SupportedCpuIsas(DetectCpuFeatures())) {
    SCOPED_TRACE(CpuIsaName(isa));
    Loaded loaded(kInt8, CpuKernels(isa));
    ExpectAgreesWithReferences(loaded, 2.5e-2, 0.25f);
  }
}

TEST(Golden, ScalarReferenceKernelsInInt8) {
  Loaded loaded(kInt8, ReferenceKernels());
  ExpectAgreesWithReferences(loaded, 2.5e-2, 0.25f, kPromptsOfTheScalarReference);
}

TEST(Golden, HiddenStatesOfEveryLayer) {
  Loaded loaded(kFloat, BestKernels());
  for (int prompt = 0; prompt < 2; ++prompt) {
    const std::vector<int32_t>& ids = TheGolden().ids(prompt);
    const size_t row = ids.size() * static_cast<size_t>(loaded.width());
    const size_t rows = static_cast<size_t>(loaded.model->config().num_layers) + 1;
    std::vector<float> hidden(rows * row);
    auto state = loaded.model->NewSequence(static_cast<int64_t>(ids.size()));
    ASSERT_TRUE(loaded.model->Forward(ids, *state, {.hidden_states = hidden.data()}).ok());
    for (size_t l = 0; l < rows; ++l) {
      EXPECT_TRUE(RelativeErrorWithin(std::span(hidden).subspan(l * row, row),
                                      std::span(TheGolden().hidden(prompt)).subspan(l * row, row), 1e-4))
          << "prompt " << prompt << " hidden state " << l;
    }
  }
}

TEST(Golden, GreedyTextUpToTheFirstEndOfSequence) {
  for (const ModelOptions& options : {kFloat, kInt8}) {
    Loaded loaded(options, BestKernels());
    const int32_t end = static_cast<int32_t>(loaded.model->config().eos_token_ids.front());
    for (int prompt = 1; prompt < 4; ++prompt) {
      auto state = loaded.model->NewSequence(512);
      std::vector<float> logits = loaded.Append(*state, TheGolden().ids(prompt));
      for (int32_t expected : TheGolden().greedy(prompt)) {
        const int32_t token = static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
        ASSERT_EQ(token, expected) << "prompt " << prompt;
        if (token == end) break;
        logits = loaded.Append(*state, {token});
      }
    }
  }
}

TEST(Schedules, PiecesAndChunksAgreeWithOneShot) {
  const std::vector<int32_t>& ids = TheGolden().ids(3);
  Loaded loaded(kFloat, BestKernels());
  const std::vector<float> whole = loaded.Logits(ids);
  for (size_t piece : {size_t{1}, size_t{7}, size_t{64}, size_t{100}}) {
    EXPECT_TRUE(RelativeErrorWithin(loaded.Logits(ids, piece), whole, 1e-4)) << "pieces of " << piece;
  }
  ModelOptions options = kFloat;
  options.chunked_delta_net = false;
  Loaded recurrent(options, BestKernels());
  EXPECT_TRUE(RelativeErrorWithin(recurrent.Logits(ids), whole, 1e-4));
  options = kFloat;
  options.max_block_tokens = 33;
  Loaded blocks(options, BestKernels());
  EXPECT_TRUE(RelativeErrorWithin(blocks.Logits(ids), whole, 1e-4));
}

TEST(Schedules, TwoRunsAndAnyNumberOfThreadsAreBitEqual) {
  const std::vector<int32_t>& ids = TheGolden().ids(3);
  Loaded loaded(kInt8, BestKernels());
  const std::vector<float> first = loaded.Logits(ids);
  EXPECT_EQ(loaded.Logits(ids), first);
  ThreadPool one(1);
  const Checkpoint checkpoint = Checkpoint::Open(kTiny).value();
  const ModelConfig config = LoadModelConfig(kTiny).value();
  auto model = Model::Load(checkpoint, config, kInt8, BestKernels(), one).value();
  auto state = model->NewSequence(512);
  std::vector<float> logits(first.size());
  ASSERT_TRUE(
      model->Forward(ids, *state, {.logits = logits.data(), .logit_rows = static_cast<int64_t>(ids.size())}).ok());
  EXPECT_EQ(logits, first);
}

TEST(State, RestoreContinuesBitForBit) {
  const std::vector<int32_t>& ids = TheGolden().ids(3);
  Loaded loaded(kInt8, BestKernels());
  // Cuts on and off a page border, and the same state used on for something else in between.
  for (size_t cut : {size_t{5}, size_t{64}, size_t{100}}) {
    auto state = loaded.model->NewSequence(512);
    loaded.Append(*state, {ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(cut)});
    const auto snapshot = state->Snapshot();
    const std::vector<int32_t> rest(ids.begin() + static_cast<std::ptrdiff_t>(cut), ids.end());
    const std::vector<float> expected = loaded.Append(*state, rest);
    state->Restore(*snapshot);
    EXPECT_EQ(state->tokens(), static_cast<int64_t>(cut));
    loaded.Append(*state, {1, 2, 3});
    state->Restore(*snapshot);
    EXPECT_EQ(loaded.Append(*state, rest), expected) << "cut at " << cut;
    auto other = loaded.model->NewSequence(512);
    other->Restore(*snapshot);
    EXPECT_EQ(loaded.Append(*other, rest), expected) << "restored into another state, cut at " << cut;
  }
}

TEST(State, CommitKeepsExactlyTheAcceptedTokens) {
  const std::vector<int32_t>& ids = TheGolden().ids(3);
  const std::vector<int32_t> prompt(ids.begin(), ids.begin() + 62);  // the draft crosses a page border
  const std::vector<int32_t> draft(ids.begin() + 62, ids.begin() + 68);
  Loaded loaded(kInt8, BestKernels());
  for (size_t accepted = 0; accepted <= draft.size(); ++accepted) {
    auto plain = loaded.model->NewSequence(512);
    loaded.Append(*plain, prompt);
    for (size_t i = 0; i < accepted; ++i) loaded.Append(*plain, {draft[i]});
    auto drafted = loaded.model->NewSequence(512);
    loaded.Append(*drafted, prompt);
    drafted->BeginDraft();
    for (int32_t id : draft) loaded.Append(*drafted, {id});
    loaded.model->CommitDraft(*drafted, static_cast<int64_t>(accepted));
    EXPECT_EQ(drafted->tokens(), plain->tokens());
    const std::vector<int32_t> next = {17, 4, 99};
    EXPECT_EQ(loaded.Append(*drafted, next), loaded.Append(*plain, next)) << accepted << " accepted";
  }
}

TEST(State, AVerifiedBatchAgreesWithSteps) {
  const std::vector<int32_t>& ids = TheGolden().ids(3);
  Loaded loaded(kFloat, BestKernels());
  auto plain = loaded.model->NewSequence(512);
  loaded.Append(*plain, {ids.begin(), ids.begin() + 64});
  auto drafted = loaded.model->NewSequence(512);
  loaded.Append(*drafted, {ids.begin(), ids.begin() + 60});
  drafted->BeginDraft();
  loaded.Append(*drafted, {ids.begin() + 60, ids.begin() + 68});
  loaded.model->CommitDraft(*drafted, 4);
  EXPECT_TRUE(RelativeErrorWithin(loaded.Append(*drafted, {5}), loaded.Append(*plain, {5}), 1e-4));
}

TEST(State, TheContextIsALimitNotACrash) {
  Loaded loaded(kInt8, BestKernels());
  auto state = loaded.model->NewSequence(10);
  loaded.Append(*state, {1, 2, 3, 4, 5, 6, 7, 8});
  std::vector<float> logits(static_cast<size_t>(loaded.vocab()));
  const std::vector<int32_t> three = {9, 10, 11};
  const Status status = loaded.model->Forward(three, *state, {.logits = logits.data(), .logit_rows = 1});
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(state->tokens(), 8);
  loaded.Append(*state, {9, 10});
}

TEST(State, PrefillCanBeCancelledBetweenBlocks) {
  ModelOptions options = kInt8;
  options.max_block_tokens = 16;
  Loaded loaded(options, BestKernels());
  auto state = loaded.model->NewSequence(512);
  const Status status = loaded.model->Forward(TheGolden().ids(3), *state, {}, [&] { return state->tokens() >= 48; });
  EXPECT_EQ(status.code(), StatusCode::kCancelled);
  EXPECT_EQ(state->tokens(), 48);
}

}  // namespace
}  // namespace qnext
