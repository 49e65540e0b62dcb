// The engine on the bundled tiny checkpoint: what a user gets, from folder and text to text.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "engine/chat_session.h"
#include "engine/device.h"
#include "engine/engine.h"
#include "engine/testing.h"

namespace qnext {
namespace {

EngineOptions TinyOptions() {
  EngineOptions options;
  options.load.folder = TinyFolder();
  options.load.threads.threads = 2;
  options.load.model.activations = Activations::kFloat32;
  options.load.model.kv_type = KvType::kF32;
  return options;
}

// One load for all tests.
Engine& TinyEngine() {
  static const std::unique_ptr<Engine> engine = [] {
    Result<std::unique_ptr<Engine>> loaded = Engine::Load(TinyOptions());
    QNEXT_CHECK(loaded.ok(), loaded.status().message().c_str());
    return std::move(loaded).value();
  }();
  return *engine;
}

TEST(EngineLoadTest, SaysWhatItLoaded) {
  const Engine& engine = TinyEngine();
  EXPECT_EQ(engine.info().model_name, "tiny");
  EXPECT_EQ(engine.info().threads, 2);
  EXPECT_GT(engine.info().weight_bytes, 10 << 20);
  EXPECT_FALSE(engine.info().kernels.empty());
  EXPECT_EQ(engine.context(), 32768);
  EXPECT_EQ(engine.eos_ids(), (std::vector<int32_t>{4098, 4096}));  // of generation_config.json
  EXPECT_EQ(engine.defaults().temperature, 0.7);
  EXPECT_TRUE(engine.Warnings(ChatUse::kServed).empty());
}

// tests/golden/reference.json: greedy continuations of the published implementation in float32.
TEST(EngineLoadTest, ContinuesAsTheReferenceDoesUpToTheFirstEos) {
  const std::string golden = ReadFileToString(QNEXT_SOURCE_DIR "/tests/golden/reference.json").value();
  Engine& engine = TinyEngine();
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
    EXPECT_EQ(result->finish_reason, FinishReason::kStop);
  }
}

// A prompt's scores are what the model says of each place when it is asked for one token there.
TEST(EngineLoadTest, ScoresAPromptAsItScoresAnswers) {
  Engine& engine = TinyEngine();
  std::string text;
  for (int i = 0; i < 40; ++i) text += "The capital of France is Paris. ";
  const std::vector<int32_t> ids = engine.tokenizer().Encode(text);
  ASSERT_GT(ids.size(), 130u);  // three pieces
  std::vector<PromptScore> scores;
  const auto take = [&](std::span<const PromptScore> some) {
    scores.insert(scores.end(), some.begin(), some.end());
    return true;
  };
  ASSERT_TRUE(engine.ScorePrompt(ids, 3, take).ok());
  ASSERT_EQ(scores.size(), ids.size());
  EXPECT_EQ(scores[0].id, ids[0]);
  EXPECT_TRUE(scores[0].top.empty());
  int found = 0;
  for (const size_t at : {size_t{1}, size_t{2}, size_t{63}, size_t{64}, size_t{65}, size_t{128}, ids.size() - 1}) {
    Request request;
    request.prompt_ids.assign(ids.begin(), ids.begin() + static_cast<int64_t>(at));
    request.sampling.temperature = 0;
    request.sampling.logprobs = true;
    request.sampling.top_logprobs = 3;
    request.max_tokens = 1;
    const Result<GenerationResult> result = engine.Generate(request);
    ASSERT_TRUE(result.ok()) << result.status().message();
    const TokenLogprobs& answer = result->logprobs[0];
    EXPECT_EQ(scores[at].id, ids[at]);
    ASSERT_EQ(scores[at].top.size(), 3u);
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(scores[at].top[i].id, answer.top[i].id) << at;
      EXPECT_NEAR(scores[at].top[i].logprob, answer.top[i].logprob, 1e-3) << at;
      if (answer.top[i].id != ids[at]) continue;
      EXPECT_NEAR(scores[at].logprob, answer.top[i].logprob, 1e-3) << at;
      ++found;
    }
  }
  EXPECT_GT(found, 3);

  EXPECT_EQ(engine.ScorePrompt(ids, 0, [](std::span<const PromptScore>) { return false; }).code(),
            StatusCode::kCancelled);
  const std::vector<int32_t> strange = {1, engine.tokenizer().vocab_end()}, none;
  EXPECT_EQ(engine.ScorePrompt(strange, 0, take).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(engine.ScorePrompt(none, 0, take).code(), StatusCode::kInvalidArgument);
}

// The logits of a text's places give the scores of its tokens, from any place on.
TEST(EngineLoadTest, LogitsOfAText) {
  Engine& engine = TinyEngine();
  std::string text;
  for (int i = 0; i < 80; ++i) text += "The capital of France is Paris. ";
  const std::vector<int32_t> ids = engine.tokenizer().Encode(text);
  ASSERT_GT(ids.size(), 260u);  // two pieces
  std::vector<PromptScore> scores;
  ASSERT_TRUE(engine
                  .ScorePrompt(ids, 0,
                               [&](std::span<const PromptScore> some) {
                                 scores.insert(scores.end(), some.begin(), some.end());
                                 return true;
                               })
                  .ok());
  LogprobReader reader(engine.tokenizer().vocab_end(), 0);
  for (const int64_t from : {int64_t{0}, int64_t{100}, int64_t{256}, int64_t{257}}) {
    int64_t next = from;
    const Status status = engine.ReadLogits(ids, from, [&](int64_t place, std::span<const float> logits) -> Status {
      EXPECT_EQ(place, next++);
      QNEXT_RETURN_IF_ERROR(reader.Read(logits));
      const PromptScore& score = scores[static_cast<size_t>(place + 1)];
      EXPECT_NEAR(reader.Of(score.id), score.logprob, 1e-3) << place;
      return {};
    });
    ASSERT_TRUE(status.ok()) << status.message();
    EXPECT_EQ(next, static_cast<int64_t>(ids.size()) - 1);
  }
  EXPECT_EQ(engine.ReadLogits(ids, 0, [](int64_t, std::span<const float>) { return Cancelled("enough"); }).code(),
            StatusCode::kCancelled);
  EXPECT_EQ(engine.ReadLogits({}, 0, [](int64_t, std::span<const float>) { return Status(); }).code(),
            StatusCode::kInvalidArgument);
}

// On any machine and in any build: a GPU if there is one, and otherwise the reason.
TEST(EngineLoadTest, TakesTheGpuThatThereIsOrSaysWhyNot) {
  const auto load = [](Device device) {
    EngineOptions options;
    options.load.folder = TinyFolder();
    options.load.device = device;
    options.load.threads.threads = 2;
    options.context = 256;
    return Engine::Load(options);
  };
  const Result<std::string> gpu = DescribeGpu();
  const std::unique_ptr<Engine> automatic = load(Device::kAuto).value();
  const Result<std::unique_ptr<Engine>> cuda = load(Device::kCuda);
  if (gpu.ok()) {
    EXPECT_EQ(automatic->info().device, "cuda");
    EXPECT_EQ(automatic->info().gpu, *gpu);
    EXPECT_TRUE(cuda.ok());
    return;
  }
  EXPECT_EQ(automatic->info().device, "cpu");
  EXPECT_EQ(automatic->info().fallback, HasCudaEngine() ? gpu.status().message() : "");
  ASSERT_FALSE(cuda.ok());
  EXPECT_EQ(cuda.status().message(), "device cuda: " + gpu.status().message());
}

TEST(EngineLoadTest, AnswersInAConversation) {
  ChatOptions options;
  options.sampling.temperature = 0;
  ChatSession session(TinyEngine(), options);
  EXPECT_EQ(session.Ask("What is 2 + 2?", {})->text, "2 + 2 = 4");
  EXPECT_EQ(session.Ask("What is the capital of France?", {})->text, "The capital of France is Paris.");
}

TEST(EngineLoadTest, TheSameSeedGivesTheSameAnswerInAnyCompany) {
  Engine& engine = TinyEngine();
  Request request;
  request.prompt_ids = engine.tokenizer().Encode("In the beginning");
  request.sampling.temperature = 1.5;
  request.sampling.seed = 11;
  request.max_tokens = 30;
  const GenerationResult first = engine.Generate(request).value();
  Request other = request;
  other.sampling.seed = 12;
  EXPECT_NE(engine.Generate(other)->token_ids, first.token_ids);
  EXPECT_EQ(engine.Generate(request)->token_ids, first.token_ids);
  other.sampling.seed = 11;
  other.stream = 1;
  EXPECT_NE(engine.Generate(other)->token_ids, first.token_ids);
}

TEST(EngineLoadTest, WhatCanBeRefusedIsRefusedBeforeTheWeightsAreRead) {
  int calls = 0;
  const auto load = [&](const EngineOptions& options) {
    Result<std::unique_ptr<Engine>> engine = Engine::Load(options, [&](const LoadProgress&) { ++calls; });
    EXPECT_FALSE(engine.ok());
    return engine.ok() ? "" : engine.status().message();
  };
  EngineOptions options = TinyOptions();
  options.load.folder = "/no/such/folder";
  EXPECT_EQ(load(options).rfind("/no/such/folder/config.json: ", 0), 0u);
  options = TinyOptions();
  options.context = 40000;
  EXPECT_EQ(load(options), "ctx: 40000 tokens are more than the model's 32768 positions");
  options = TinyOptions();
  options.chat_template_path = "/no/such/template";
  EXPECT_EQ(load(options).rfind("/no/such/template: ", 0), 0u);
  EXPECT_EQ(calls, 0);
}

// A copy of the tiny checkpoint's small files, with one of them changed.
class DamagedFolderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "qnext_engine_load_test";
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    for (const auto& entry : std::filesystem::directory_iterator(TinyFolder())) {
      if (entry.file_size() < (1 << 20)) std::filesystem::copy(entry.path(), folder_);
    }
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  // Changes a JSON file and gives the error of loading.
  std::string ErrorAfter(const std::string& name, const std::function<void(nlohmann::json&)>& change) {
    const std::string path = folder_ + "/" + name;
    nlohmann::json json = nlohmann::json::parse(ReadFileToString(path).value());
    change(json);
    std::ofstream(path) << json;
    EngineOptions options = TinyOptions();
    options.load.folder = folder_;
    const Result<std::unique_ptr<Engine>> engine = Engine::Load(options);
    EXPECT_FALSE(engine.ok());
    return engine.ok() ? "" : engine.status().message();
  }

  std::string folder_;
};

TEST_F(DamagedFolderTest, AVocabularyTooSmallForTheTokenizer) {
  EXPECT_EQ(ErrorAfter("config.json", [](nlohmann::json& config) { config["vocab_size"] = 4100; })
                .rfind(folder_ + ": vocabulary mismatch: the tokenizer has ids up to ", 0),
            0u);
}

TEST_F(DamagedFolderTest, AnEosOutsideTheVocabulary) {
  const std::string error = ErrorAfter("generation_config.json", [](nlohmann::json& config) {
    config["eos_token_id"] = {4098, 4150};  // below vocab_size, but padding
  });
  EXPECT_EQ(error.rfind(folder_ + ": eos_token_id: 4150 is outside the vocabulary of ", 0), 0u) << error;
}

// Headers and sizes were right when they were checked.
TEST_F(DamagedFolderTest, AShardThatIsCutWhileItIsRead) {
  std::vector<std::string> shards;
  for (const auto& entry : std::filesystem::directory_iterator(TinyFolder())) {
    if (entry.path().extension() != ".safetensors") continue;
    shards.push_back(folder_ + "/" + entry.path().filename().string());
    std::filesystem::copy(entry.path(), shards.back(), std::filesystem::copy_options::overwrite_existing);
  }
  EngineOptions options = TinyOptions();
  options.load.folder = folder_;
  options.load.threads.threads = 1;
  bool cut = false;
  const Result<std::unique_ptr<Engine>> engine = Engine::Load(options, [&](const LoadProgress&) {
    if (cut) return;
    for (const std::string& shard : shards) std::filesystem::resize_file(shard, std::filesystem::file_size(shard) / 8);
    cut = true;
  });
  ASSERT_TRUE(cut);
  ASSERT_FALSE(engine.ok());
  EXPECT_EQ(engine.status().code(), StatusCode::kCorrupt);
  EXPECT_NE(engine.status().message().find(".safetensors: ends at "), std::string::npos) << engine.status().message();
  EXPECT_NE(engine.status().message().find(" bytes short"), std::string::npos) << engine.status().message();
}

TEST_F(DamagedFolderTest, MissingShards) {
  EXPECT_NE(ErrorAfter("config.json", [](nlohmann::json&) {}).find(".safetensors"), std::string::npos);
}

}  // namespace
}  // namespace qnext
