// An engine without a checkpoint.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "checkpoint/synthetic_testing.h"
#include "engine/chat_session.h"
#include "engine/engine.h"
#include "engine/testing.h"

namespace qnext {
namespace {

class SyntheticEngineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "qnext_synthetic_engine_test/Small";
    std::filesystem::create_directories(folder_);
    WriteConfig(nlohmann::json::object());
    options_.load.synthetic = folder_ + "/config.json";
    options_.load.routing = Routing::kUniform;
    options_.load.threads.threads = 2;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  void WriteConfig(const nlohmann::json& changes) {
    std::ofstream(folder_ + "/config.json") << ReducedKind("80b-a-4layers", changes).config_json;
  }
  std::string Error() {
    const Result<std::unique_ptr<Engine>> engine = Engine::Load(options_);
    EXPECT_FALSE(engine.ok());
    return engine.ok() ? "" : engine.status().message();
  }

  std::string folder_;
  EngineOptions options_;
};

TEST_F(SyntheticEngineTest, SaysWhatIsMadeUp) {
  int calls = 0;
  const auto engine = Engine::Load(options_, [&](const LoadProgress&) { ++calls; }).value();
  EXPECT_GT(calls, 0);
  EXPECT_EQ(engine->info().model_name, "synthetic-Small");
  EXPECT_EQ(engine->info().synthetic, options_.load.synthetic);
  ASSERT_TRUE(engine->info().simulated_routing.has_value());
  EXPECT_NEAR(engine->info().simulated_routing->entropy_bits, 5, 0.01);
  EXPECT_EQ(Describe(*engine->info().simulated_routing), "simulated: uniform, 5.00 bits of entropy of at most 5.00");
  EXPECT_EQ(engine->eos_ids(), (std::vector<int32_t>{258, 256}));
  EXPECT_TRUE(engine->Warnings(ChatUse::kServed).empty());
}

TEST_F(SyntheticEngineTest, GeneratesAndConverses) {
  const auto engine = Engine::Load(options_).value();
  Request request;
  request.prompt_ids = engine->tokenizer().Encode("Any text, byte by byte: \xc3\xa4");
  EXPECT_EQ(request.prompt_ids.size(), 26u);
  request.max_tokens = 6;
  request.ignore_eos = true;
  EXPECT_EQ(engine->Generate(request)->token_ids.size(), 6u);
  ChatOptions chat;
  chat.max_tokens = 3;
  chat.ignore_eos = true;
  ChatSession session(*engine, chat);
  EXPECT_TRUE(session.Ask("Hello", {}).ok());
  EXPECT_EQ(engine->chat()->Render({{.role = "user", .content = "Hi"}}).value(),
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
}

TEST_F(SyntheticEngineTest, WhatCannotBe) {
  options_.context = 1 << 30;
  EXPECT_EQ(Error(), "ctx: 1073741824 tokens are more than the model's 262144 positions");
  options_.context.reset();
  WriteConfig({{"vocab_size", 128}, {"bos_token_id", 1}, {"eos_token_id", 1}});
  EXPECT_EQ(Error().rfind(options_.load.synthetic + ": vocabulary mismatch: ", 0), 0u);
  WriteConfig({{"hidden_size", -1}});
  EXPECT_EQ(Error().rfind(options_.load.synthetic + ": hidden_size: ", 0), 0u);
  options_.load.synthetic = "80b-z";
  EXPECT_EQ(Error().rfind("80b-z: neither a synthetic kind", 0), 0u);
  options_.load.synthetic.clear();
  options_.load.folder = TinyFolder();
  EXPECT_EQ(Error(), "routing: with a checkpoint the real router decides");
}

}  // namespace
}  // namespace qnext
